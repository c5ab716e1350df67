import KeyValuePairs, { type KeyValuePairsProps } from '@cloudscape-design/components/key-value-pairs';
import Link from '@cloudscape-design/components/link';
import StatusIndicator from '@cloudscape-design/components/status-indicator';
import { duration } from '../../cli/format.ts';
import type { JobView } from '../../shared/operations/show-job.ts';
import { Ago, Time, useNow } from '../parts/time.tsx';
import { href } from '../router.ts';
import { JobStateSign } from './states.tsx';

/** A summary of a job. */
export function JobProperties({ job }: { job: JobView }) {
  const now = useNow(1000);
  const end = job.finished_at ? Date.parse(job.finished_at) : now;
  const items: KeyValuePairsProps.Item[] = [
    { label: 'State', value: <JobStateSign state={job.state} /> },
    { label: 'Target', value: <bdi>{job.target}</bdi> },
    { label: 'Started', value: <Ago value={job.created_at} /> },
    {
      label: job.finished_at ? 'Duration' : 'Running for',
      value: duration(Math.max(0, Math.floor((end - Date.parse(job.created_at)) / 1000))),
    },
    { label: 'Requested by', value: <bdi>{job.requested_by ?? 'unknown'}</bdi> },
    {
      label: 'Backup',
      value: job.backup_id ? (
        <Link href={href(['backup', job.backup_id])}>
          <span className="anywhere">{job.backup_id}</span>
        </Link>
      ) : (
        '–'
      ),
    },
    {
      label: 'AWS console',
      value: job.console_url ? (
        <Link external href={job.console_url} externalIconAriaLabel="opens in a new tab">
          Execution
        </Link>
      ) : (
        '–'
      ),
    },
  ];
  if (job.thaw) items.push({ label: 'Archive in cold storage', value: <ThawWait thaw={job.thaw} /> });
  if (job.writers) items.push({ label: 'Writers', value: job.writers });
  return <KeyValuePairs columns={4} items={items} />;
}

/** How the job waits, or has waited, for its archive to be thawed. */
export function ThawWait({ thaw }: { thaw: NonNullable<JobView['thaw']> }) {
  if (thaw.ready_at === undefined) {
    return (
      <StatusIndicator type="in-progress">
        Waiting for the archive to be thawed from {thaw.place} ({thaw.tier}), expected by{' '}
        <Time value={thaw.expected_by} />
      </StatusIndicator>
    );
  }
  return (
    <>
      Thawed from {thaw.place} ({thaw.tier}) at <Time value={thaw.ready_at} />
    </>
  );
}
