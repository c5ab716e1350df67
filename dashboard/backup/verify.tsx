import Button from '@cloudscape-design/components/button';
import { useEffect, useRef, useState } from 'react';
import { useNotices } from '../notices.tsx';
import { useSession } from '../session.tsx';

/** Reads a backup back, every byte of it, a leg after the other, and says what was found. */
export function VerifyButton({ backupId, done }: { backupId: string; done: () => void }) {
  const { api, refusal } = useSession();
  const { notify, fail } = useNotices();
  const [running, setRunning] = useState<AbortController>();
  const latest = useRef(running);
  latest.current = running;
  useEffect(() => () => latest.current?.abort(), []);
  const refused = refusal('operator');

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
              type: 'success',
              header: 'Backup verified',
              content: 'No errors found.',
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
    <Button
      onClick={() => void verify()}
      {...(refused === undefined ? {} : { disabled: true, disabledReason: refused })}
    >
      Verify
    </Button>
  );
}
