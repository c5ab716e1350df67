import Box from '@cloudscape-design/components/box';
import ExpandableSection from '@cloudscape-design/components/expandable-section';
import { useState } from 'react';
import { Copyable } from '../parts/command.tsx';
import { Show } from '../parts/states.tsx';
import { useSession } from '../session.tsx';
import { useData } from '../use-data.ts';

/** The manifest, read from the archive on request. */
export function ManifestSection({ backupId }: { backupId: string }) {
  const { api } = useSession();
  const [open, setOpen] = useState(false);
  const loaded = useData(open ? backupId : undefined, (signal) => api.showManifest(backupId, signal));
  return (
    <ExpandableSection
      variant="container"
      headerText="Manifest"
      headerDescription="Versions, scope and references, as recorded in the archive."
      expanded={open}
      onChange={({ detail }) => setOpen(detail.expanded)}
    >
      {open && (
        <Show loaded={loaded} what="the manifest">
          {(manifest) => {
            const text = JSON.stringify(manifest, null, 2);
            return (
              <>
                <Copyable text={text} shown="Copy" what="manifest" />
                <Box variant="pre">{text}</Box>
              </>
            );
          }}
        </Show>
      )}
    </ExpandableSection>
  );
}
