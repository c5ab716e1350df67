import Box from '@cloudscape-design/components/box';
import Button from '@cloudscape-design/components/button';
import Container from '@cloudscape-design/components/container';
import Header from '@cloudscape-design/components/header';
import Link from '@cloudscape-design/components/link';
import SpaceBetween from '@cloudscape-design/components/space-between';
import { useState } from 'react';
import type { JobView } from '../../../shared/operations/show-job.ts';
import { CancelJob } from '../../job/cancel-job.tsx';
import { JobProperties, ThawWait } from '../../job/facts.tsx';
import { JobLog } from '../../job/job-log.tsx';
import { RestoreOutcome } from '../../job/restore-result.tsx';
import { StoreBars } from '../../job/store-bars.tsx';
import { useTitle } from '../../job/title.ts';
import { useJob } from '../../job/use-job.ts';
import { Show, Titled } from '../../parts/states.tsx';
import { href } from '../../router.ts';
import { discardUpload } from '../../upload/running.ts';
import { jobTitle, NoSuchJob } from '../job.tsx';
import { Decision } from './decision.tsx';
import { type StepName, WizardFrame } from './frame.tsx';
import { Report } from './report.tsx';
import { type RestoreStage, stageOf } from './stages.ts';
import { UploadStep } from './upload-step.tsx';

const STEPS: Record<RestoreStage, StepName> = {
  upload: 'Upload',
  inspection: 'Inspection',
  decision: 'Decision',
  restore: 'Restore',
  result: 'Result',
};

/** A restore after its start: the job determines its stage, and the address which page of it is open. */
export function RestoreJob({ jobId, step }: { jobId: string; step: string | undefined }) {
  const loaded = useJob(jobId);
  useTitle(loaded.data && jobTitle(loaded.data));
  if (loaded.error?.status === 404) return <NoSuchJob id={jobId} />;
  return (
    <Show loaded={loaded} what="the restore" title="Restore">
      {(job) =>
        job.kind === 'restore' ? (
          <RestoreStatus job={job} step={step} reload={loaded.reload} />
        ) : (
          <Titled title="This job is a backup">
            <Link href={href(['job', job.job_id])}>Open the job</Link>
          </Titled>
        )
      }
    </Show>
  );
}

function RestoreStatus({
  job,
  step,
  reload,
}: {
  job: JobView;
  step: string | undefined;
  reload: () => void;
}) {
  /**
   * The time of the inspection that the user has answered: until a newer one appears, the answer is being processed.
   */
  const [answered, setAnswered] = useState<string>();
  const stage = stageOf(job);
  const inspectedAt = job.inspection?.inspected_at;
  const onItsWay = stage === 'decision' && answered !== undefined && answered === inspectedAt;
  const shown: RestoreStage = onItsWay ? 'inspection' : stage;
  const onAnswer = () => {
    setAnswered(inspectedAt);
    reload();
  };
  return (
    <WizardFrame
      step={STEPS[shown]}
      upload={job.upload !== undefined}
      failed={job.state === 'failed' || job.state === 'cancelled' || job.state === 'rolled_back'}
      title={
        <>
          Restore into <bdi>{job.target}</bdi>
        </>
      }
      actions={
        <SpaceBetween direction="horizontal" size="xs">
          <Button href={href(['job', job.job_id])}>Job</Button>
          {(shown === 'inspection' || shown === 'restore') && <CancelJob job={job} onCancelled={reload} />}
        </SpaceBetween>
      }
    >
      <StageView job={job} stage={shown} step={step} reload={reload} onAnswer={onAnswer} />
    </WizardFrame>
  );
}

function StageView({
  job,
  stage,
  step,
  reload,
  onAnswer,
}: {
  job: JobView;
  stage: RestoreStage;
  step: string | undefined;
  reload: () => void;
  onAnswer: () => void;
}) {
  if (stage === 'upload') return <UploadStep job={job} reload={reload} />;
  if (stage === 'decision') return <Decision job={job} step={step} onAnswer={onAnswer} />;
  // The file is no longer needed: S3 has it.
  discardUpload(job.job_id);
  if (stage === 'result') return <Result job={job} />;
  return (
    <SpaceBetween size="l">
      <Container
        header={
          <Header
            variant="h2"
            description={
              stage === 'inspection'
                ? 'The archive is fully verified and compared with the target. Nothing is written.'
                : 'The target is backed up and then loaded. After that, every record is read back and compared.'
            }
          >
            {stage === 'inspection' ? 'Inspection' : 'Restore'}
          </Header>
        }
      >
        {job.thaw && job.thaw.ready_at === undefined ? <ThawWait thaw={job.thaw} /> : <StoreBars job={job} />}
      </Container>
      {stage === 'restore' && job.options?.safety_backup && (
        <Box>
          Safety backup job: <Link href={href(['job', `safety_${job.job_id}`])}>safety_{job.job_id}</Link>
        </Box>
      )}
      <JobLog job={job} />
    </SpaceBetween>
  );
}

function Result({ job }: { job: JobView }) {
  return (
    <SpaceBetween size="l">
      <RestoreOutcome job={job} />
      <Container>
        <JobProperties job={job} />
      </Container>
      {job.inspection && job.options && <Report inspection={job.inspection} options={job.options} ended />}
      <JobLog job={job} />
      <Button href={href(['restore'])}>New restore</Button>
    </SpaceBetween>
  );
}
