import Button from '@cloudscape-design/components/button';
import { useEffect, useRef, useState } from 'react';
import { recordsText } from '../../shared/catalog/record-counts.ts';
import type { VerificationLeg } from '../../shared/operations/verify-backup.ts';
import { warningText } from '../../shared/stores/describe-warning.ts';
import { useNotices } from '../notices.tsx';
import { blocked } from '../parts/blocked.ts';
import { useSession } from '../session.tsx';

/** The results of a verification: what it read and counted, and what it could not check. */
function Verified({ leg: { records, warnings } }: { leg: Pick<VerificationLeg, 'records' | 'warnings'> }) {
  const counted = Object.entries(records).map(([store, counts]) => `${store}: ${recordsText(counts)}`);
  return (
    <>
      No errors found in any byte or record.
      {counted.length > 0 && ` Compared with the manifest: ${counted.join('; ')}.`}
      {warnings.map((warning) => (
        <div key={`${warning.store} ${warning.code}`}>
          Warning: {warning.store}: <bdi>{warningText(warning)}</bdi>
        </div>
      ))}
    </>
  );
}

/** Verifies every byte and every record of a backup, leg by leg, and shows the result. */
export function VerifyButton({ backupId, done }: { backupId: string; done: () => void }) {
  const { api, refusal } = useSession();
  const { notify, fail } = useNotices();
  const [running, setRunning] = useState<AbortController>();
  const latest = useRef(running);
  latest.current = running;
  useEffect(() => () => latest.current?.abort(), []);
  const refused = refusal('verifyBackup');

  const verify = async () => {
    const abort = new AbortController();
    setRunning(abort);
    const id = `verify ${backupId}`;
    notify({ type: 'info', header: 'Verifying the archive…' }, id);
    try {
      let leg = await api.verifyBackup(backupId, {}, abort.signal);
      while (!leg.done) {
        leg = await api.verifyBackup(backupId, { cursor: leg.cursor }, abort.signal);
      }
      notify(
        leg.is_valid
          ? {
              type: leg.warnings.length > 0 ? 'warning' : 'success',
              header: leg.warnings.length > 0 ? 'Backup verified, with warnings' : 'Backup verified',
              content: <Verified leg={leg} />,
            }
          : { type: 'error', header: 'The backup is damaged', content: leg.errors.join('; ') },
        id,
      );
      done();
    } catch (error) {
      if (abort.signal.aborted) {
        notify({ type: 'info', header: 'Verification stopped', content: 'No errors found so far.' }, id);
      } else fail('The backup could not be verified', error);
    } finally {
      setRunning(undefined);
    }
  };
  if (running) return <Button onClick={() => running.abort()}>Stop verifying</Button>;
  return (
    <Button onClick={() => void verify()} {...blocked(refused)}>
      Verify
    </Button>
  );
}
