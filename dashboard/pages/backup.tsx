import Box from '@cloudscape-design/components/box';
import Button from '@cloudscape-design/components/button';
import Header from '@cloudscape-design/components/header';
import Link from '@cloudscape-design/components/link';
import SpaceBetween from '@cloudscape-design/components/space-between';
import type { BackupView } from '../../shared/operations/show-backup.ts';
import { Contents } from '../backup/contents.tsx';
import { Copies } from '../backup/copies.tsx';
import { DeleteButton } from '../backup/delete.tsx';
import { DownloadButton } from '../backup/download-button.tsx';
import { BackupProperties } from '../backup/facts.tsx';
import { Keeping } from '../backup/keeping.tsx';
import { LastRestore } from '../backup/last-restore.tsx';
import { ManifestSection } from '../backup/manifest.tsx';
import { References } from '../backup/references.tsx';
import { ThawButton } from '../backup/storage.tsx';
import { Tallies } from '../backup/tallies.tsx';
import { InATerminal } from '../backup/terminal.tsx';
import { VerifyButton } from '../backup/verify.tsx';
import { Warnings } from '../backup/warnings.tsx';
import { blocked } from '../parts/blocked.ts';
import { Show, Titled } from '../parts/states.tsx';
import { Time } from '../parts/time.tsx';
import type { PageProps } from '../router.ts';
import { href } from '../router.ts';
import { useSession } from '../session.tsx';
import { type Loaded, useData } from '../use-data.ts';

/** One backup: `#/backup/snapshot_…`. */
export default function Backup({ route: { parts } }: PageProps) {
  const { api } = useSession();
  const id = parts[1] ?? '';
  const loaded = useData(id, (signal) => api.showBackup(id, signal));
  if (loaded.error?.status === 404) {
    return (
      <Titled title="Backup not found">
        <Box>It may have been deleted by a user or by the retention policy.</Box>
        <Link href={href(['backups'])}>All backups</Link>
      </Titled>
    );
  }
  return (
    <Show loaded={loaded} what="the backup" title="Backup">
      {(record) => <Details record={record} loaded={loaded} />}
    </Show>
  );
}

function Details({ record, loaded }: { record: BackupView; loaded: Loaded<BackupView> }) {
  const { refusal } = useSession();
  const id = record.backup_id;
  const refused = refusal('restore');
  return (
    <SpaceBetween size="l">
      <Header
        variant="h1"
        description={<code>{id}</code>}
        actions={
          <SpaceBetween direction="horizontal" size="xs">
            <DeleteButton record={record} />
            <ThawButton record={record} done={loaded.reload} />
            <VerifyButton backupId={id} done={loaded.reload} />
            <DownloadButton backupId={id} />
            <Button variant="primary" href={href(['restore'], { backup: id })} {...blocked(refused)}>
              Restore
            </Button>
          </SpaceBetween>
        }
      >
        <bdi>{record.target}</bdi>, <Time value={record.created_at} />
      </Header>
      {record.warnings.length > 0 && <Warnings record={record} changed={loaded.replace} />}
      <BackupProperties record={record} />
      {record.copies && <Copies backupId={id} copies={record.copies} />}
      <Keeping record={record} changed={loaded.replace} />
      <Contents backupId={id} />
      <Tallies tallies={record.tallies} />
      {record.references && record.references.length > 0 && <References references={record.references} />}
      <LastRestore backupId={id} />
      <ManifestSection backupId={id} />
      <InATerminal backupId={id} />
    </SpaceBetween>
  );
}
