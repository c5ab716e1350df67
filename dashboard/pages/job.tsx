import Box from '@cloudscape-design/components/box';
import Button from '@cloudscape-design/components/button';
import Container from '@cloudscape-design/components/container';
import Header from '@cloudscape-design/components/header';
import Link from '@cloudscape-design/components/link';
import SpaceBetween from '@cloudscape-design/components/space-between';
import { hasEnded } from '../../shared/core/job-state.ts';
import type { JobView } from '../../shared/operations/show-job.ts';
import { CancelJob } from '../job/cancel-job.tsx';
import { DownloadAfterBackup } from '../job/download-bar.tsx';
import { JobProperties } from '../job/facts.tsx';
import { JobLog } from '../job/job-log.tsx';
import { KIND_OF } from '../job/kinds.ts';
import { JobHeader } from '../job/name.tsx';
import { BackupOutcome, RestoreOutcome } from '../job/restore-result.tsx';
import { stateText } from '../job/states.tsx';
import { StoreBars } from '../job/store-bars.tsx';
import { useTitle } from '../job/title.ts';
import { useJob } from '../job/use-job.ts';
import { Show, Titled } from '../parts/states.tsx';
import type { PageProps } from '../router.ts';
import { href } from '../router.ts';

/** One job: `#/job/<id>`. */
export default function Job({ route }: PageProps) {
  const id = route.parts[1];
  const loaded = useJob(id);
  useTitle(loaded.data && jobTitle(loaded.data));
  if (id === undefined || loaded.error?.status === 404) return <NoSuchJob id={id} />;
  return (
    <Show loaded={loaded} what="the job" title="Job">
      {(job) => <JobPage job={job} reload={loaded.reload} />}
    </Show>
  );
}

/** `42 % backup of default`, for the tab. */
export function jobTitle(job: JobView): string {
  const percent = job.overall?.percent;
  const what = `${KIND_OF[job.kind].toLowerCase()} ${job.target}`;
  if (job.state !== 'processing') return `${stateText(job.state)}: ${what}`;
  return `${percent === undefined ? '…' : `${percent} %`} ${what}`;
}

function JobPage({ job, reload }: { job: JobView; reload: () => void }) {
  const ended = hasEnded(job.state);
  return (
    <SpaceBetween size="l">
      <JobHeader job={job}>
        {job.kind === 'restore' && !ended && (
          <Button
            variant={job.state === 'awaiting_confirmation' ? 'primary' : 'normal'}
            href={href(['restore', job.job_id])}
          >
            Open in the restore wizard
          </Button>
        )}
        {!ended && <CancelJob job={job} onCancelled={reload} />}
      </JobHeader>
      {ended && (job.kind === 'backup' ? <BackupOutcome job={job} /> : <RestoreOutcome job={job} />)}
      <Container>
        <JobProperties job={job} />
      </Container>
      {(job.progress.length > 0 || !ended) && (
        <Container header={<Header variant="h2">Stores</Header>}>
          <StoreBars job={job} />
        </Container>
      )}
      {job.kind === 'backup' && <DownloadAfterBackup job={job} />}
      <JobLog job={job} />
    </SpaceBetween>
  );
}

export function NoSuchJob({ id }: { id: string | undefined }) {
  return (
    <Titled title="Job not found">
      <Box>
        {id === undefined
          ? 'The address does not contain a job ID.'
          : 'It was removed (jobs are kept for 90 days), or the address is wrong.'}
      </Box>
      <Link href={href(['jobs'])}>All jobs</Link>
    </Titled>
  );
}
