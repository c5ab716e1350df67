import Button from '@cloudscape-design/components/button';
import SpaceBetween from '@cloudscape-design/components/space-between';
import { createContext, use, useState } from 'react';
import { localTime } from '../../cli/format.ts';
import type { BackupSummary } from '../../shared/catalog/summaries.ts';
import { DeleteQuestion } from '../backup/delete.tsx';
import { DownloadButton } from '../backup/download-button.tsx';
import { blocked } from '../parts/blocked.ts';
import { useSession } from '../session.tsx';

/** Called after a row of the list was deleted. */
export const Deleted = createContext<() => void>(() => undefined);

/** The actions of one row: download, and delete after a confirmation. */
export function RowActions({ backup }: { backup: BackupSummary }) {
  const { refusal } = useSession();
  const deleted = use(Deleted);
  const [asking, setAsking] = useState(false);
  const name = `backup of ${backup.target}, ${localTime(backup.created_at)}`;
  return (
    <SpaceBetween direction="horizontal" size="xxs">
      <DownloadButton backupId={backup.backup_id} label={`Download ${name}`} />
      <Button
        variant="icon"
        iconName="remove"
        ariaLabel={`Delete ${name}`}
        onClick={() => setAsking(true)}
        {...blocked(refusal('deleteBackup', backup))}
      />
      {asking && <DeleteQuestion record={backup} close={() => setAsking(false)} deleted={deleted} />}
    </SpaceBetween>
  );
}
