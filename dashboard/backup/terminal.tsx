import ExpandableSection from '@cloudscape-design/components/expandable-section';
import KeyValuePairs from '@cloudscape-design/components/key-value-pairs';
import { Copyable } from '../parts/command.tsx';

/** The actions of this page, as commands. */
export function InATerminal({ backupId: id }: { backupId: string }) {
  const lines: [string, string][] = [
    ['Show', `ngbak show ${id}`],
    ['Restore', `ngbak restore ${id}`],
    ['Download', `ngbak download ${id}`],
    ['Verify', `ngbak verify ${id}`],
    ['List contents', `ngbak contents ${id}`],
    ['Change tags, note, retention', `ngbak tag ${id} weekly --note 'before the migration' --keep 30d`],
    ['Delete', `ngbak delete ${id}`],
  ];
  return (
    <ExpandableSection variant="container" headerText="In a terminal">
      <KeyValuePairs
        items={lines.map(([label, line]) => ({
          label,
          value: (
            <code>
              <Copyable text={line} what={`command: ${label}`} />
            </code>
          ),
        }))}
      />
    </ExpandableSection>
  );
}
