import Header from '@cloudscape-design/components/header';
import SpaceBetween from '@cloudscape-design/components/space-between';
import type { ReactNode } from 'react';
import type { JobSummary } from '../../shared/workflows/job/summary.ts';
import { KIND_OF } from './kinds.ts';

type Named = Pick<JobSummary, 'kind' | 'target'> & { readonly rehearsal?: boolean | undefined };

/** `Backup of default`. */
export function JobName({ job: { kind, rehearsal, target } }: { job: Named }) {
  return (
    <>
      {rehearsal ? 'Rehearsal of' : KIND_OF[kind]} <bdi>{target}</bdi>
    </>
  );
}

/** The heading of a page about one job: its name, its ID, and its actions. */
export function JobHeader({ job, children }: { job: Named & { job_id: string }; children: ReactNode }) {
  return (
    <Header
      variant="h1"
      description={<code>{job.job_id}</code>}
      actions={
        <SpaceBetween direction="horizontal" size="xs">
          {children}
        </SpaceBetween>
      }
    >
      <JobName job={job} />
    </Header>
  );
}
