import Alert from '@cloudscape-design/components/alert';
import Button from '@cloudscape-design/components/button';
import { useState } from 'react';
import { isRollbackJob } from '../../shared/core/job-kinds.ts';
import type { JobView } from '../../shared/operations/show-job.ts';
import { useNotices } from '../notices.tsx';
import { blocked } from '../parts/blocked.ts';
import { Question } from '../parts/question.tsx';
import { useSession } from '../session.tsx';

/** Cancels a job after a question that states the consequences for the target. */
export function CancelJob({ job, onCancelled }: { job: JobView; onCancelled: () => void }) {
  const { api, refusal } = useSession();
  const { notify, fail } = useNotices();
  const [asking, setAsking] = useState(false);
  const [busy, setBusy] = useState(false);
  const why = refusal('cancelJob', { ...job, isRollback: isRollbackJob(job.job_id) });
  const cancel = async () => {
    setBusy(true);
    try {
      const { message } = await api.cancelJob(job.job_id);
      notify({ type: 'info', header: 'Cancelling', content: message }, `job ${job.job_id}`);
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
      <Question
        visible={asking}
        header="Cancel this job?"
        no={{ text: 'Keep running', onClick: () => setAsking(false) }}
        yes={{ text: 'Cancel job', onClick: cancel, loading: busy }}
      >
        <Alert type={job.kind === 'restore' ? 'warning' : 'info'}>
          {job.kind === 'restore'
            ? 'If the restore has started to write, the target is rolled back to the safety backup. Without a safety backup, the target is left as it is at that moment.'
            : job.kind === 'drill'
              ? 'What the drill has restored is removed. No target is affected.'
              : 'The unfinished backup is removed. Existing backups are not affected.'}
        </Alert>
      </Question>
    </>
  );
}
