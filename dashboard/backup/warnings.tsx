import Box from '@cloudscape-design/components/box';
import Button from '@cloudscape-design/components/button';
import Container from '@cloudscape-design/components/container';
import Header from '@cloudscape-design/components/header';
import SpaceBetween from '@cloudscape-design/components/space-between';
import StatusIndicator from '@cloudscape-design/components/status-indicator';
import { useState } from 'react';
import type { BackupDetails } from '../../shared/catalog/summaries.ts';
import { warningText } from '../../shared/stores/describe-warning.ts';
import { storeName } from '../job/store-bars.tsx';
import { useNotices } from '../notices.tsx';
import { blocked } from '../parts/blocked.ts';
import { Time } from '../parts/time.tsx';
import { useSession } from '../session.tsx';

/** The warnings of a backup. A warning is acknowledged for all backups of the target. */
export function Warnings({
  record,
  changed,
}: {
  record: BackupDetails;
  changed: (record: BackupDetails) => void;
}) {
  return (
    <Container
      header={
        <Header
          variant="h2"
          counter={`(${record.warnings.length})`}
          description={`Acknowledged warnings stay visible, but no longer affect the assessment of the backups of ${record.target}.`}
        >
          Warnings
        </Header>
      }
    >
      <SpaceBetween size="m">
        {record.warnings.map((warning) => (
          <OneWarning key={warning.id} warning={warning} backupId={record.backup_id} changed={changed} />
        ))}
      </SpaceBetween>
    </Container>
  );
}

function OneWarning({
  warning,
  backupId,
  changed,
}: {
  warning: BackupDetails['warnings'][number];
  backupId: string;
  changed: (record: BackupDetails) => void;
}) {
  const { api, refusal } = useSession();
  const { fail } = useNotices();
  const [busy, setBusy] = useState(false);
  const { id, store, acknowledged } = warning;
  const acknowledge = async () => {
    setBusy(true);
    try {
      changed(await api.acknowledgeWarnings(backupId, { warnings: [id], acknowledged: !acknowledged }));
    } catch (error) {
      fail('The warning could not be changed', error);
    } finally {
      setBusy(false);
    }
  };
  return (
    <div className="beside">
      <div>
        <StatusIndicator type={acknowledged ? 'info' : 'warning'}>{storeName(store)}</StatusIndicator>
        <div>
          <bdi className="anywhere">{warningText(warning)}</bdi>
        </div>
        {acknowledged && (
          <Box fontSize="body-s" color="text-body-secondary">
            Acknowledged by <bdi>{acknowledged.by}</bdi>, <Time value={acknowledged.at} />
            {acknowledged.note && (
              <>
                : <bdi>{acknowledged.note}</bdi>
              </>
            )}
          </Box>
        )}
      </div>
      <Button loading={busy} {...blocked(refusal('acknowledgeWarnings'))} onClick={() => void acknowledge()}>
        {acknowledged ? 'Undo acknowledgement' : 'Acknowledge'}
      </Button>
    </div>
  );
}
