import Alert from '@cloudscape-design/components/alert';
import Box from '@cloudscape-design/components/box';
import Button from '@cloudscape-design/components/button';
import Modal from '@cloudscape-design/components/modal';
import SpaceBetween from '@cloudscape-design/components/space-between';
import { useState } from 'react';
import type { JobView } from '../../shared/operations/show-job.ts';
import { useNotices } from '../notices.tsx';
import { blocked } from '../parts/blocked.ts';
import { useSession } from '../session.tsx';

/** Stops a job, after asking; says before what becomes of the target. */
export function CancelJob({ job, onCancelled }: { job: JobView; onCancelled: () => void }) {
  const { api, refusal } = useSession();
  const { notify, fail } = useNotices();
  const [asking, setAsking] = useState(false);
  const [busy, setBusy] = useState(false);
  const why = refusal('operator');
  const cancel = async () => {
    setBusy(true);
    try {
      const { message } = await api.cancelJob(job.job_id);
      notify({ type: 'info', header: 'Stopping', content: message }, `job ${job.job_id}`);
      onCancelled();
    } catch (error) {
      fail('The job could not be cancelled', error);
    } finally {
      setBusy(false);
      setAsking(false);
    }
  };
  return (
    <>
      <Button {...blocked(why)} onClick={() => setAsking(true)}>
        Cancel job
      </Button>
      <Modal
        visible={asking}
        onDismiss={() => setAsking(false)}
        header="Cancel this job?"
        footer={
          <Box float="right">
            <SpaceBetween direction="horizontal" size="xs">
              <Button variant="link" onClick={() => setAsking(false)}>
                Let it go on
              </Button>
              <Button variant="primary" loading={busy} onClick={cancel}>
                Cancel job
              </Button>
            </SpaceBetween>
          </Box>
        }
      >
        <Alert type={job.kind === 'restore' ? 'warning' : 'info'}>
          {job.kind === 'restore'
            ? 'If the restore has begun to write, its target is put back to what it held before, from the safety backup. Without one, the target is left as it is then.'
            : 'What it has made so far is removed. The backups that exist stay.'}
        </Alert>
      </Modal>
    </>
  );
}
