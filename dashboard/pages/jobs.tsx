import Box from '@cloudscape-design/components/box';
import Button from '@cloudscape-design/components/button';
import Header from '@cloudscape-design/components/header';
import Link from '@cloudscape-design/components/link';
import Select from '@cloudscape-design/components/select';
import SpaceBetween from '@cloudscape-design/components/space-between';
import Table from '@cloudscape-design/components/table';
import { duration } from '../../cli/format.ts';
import { hasEnded, JOB_STATES, type JobState } from '../../shared/core/job-state.ts';
import type { JobSummary } from '../../shared/workflows/job/summary.ts';
import { JobName } from '../job/name.tsx';
import { JobStateSign, stateText } from '../job/states.tsx';
import { limitOf, moreFooter } from '../parts/more.tsx';
import { Empty, Problem } from '../parts/states.tsx';
import { Ago } from '../parts/time.tsx';
import type { PageProps } from '../router.ts';
import { href, navigate } from '../router.ts';
import { useSession } from '../session.tsx';
import { useData } from '../use-data.ts';

const EVERY_MS = { running: 3000, quiet: 15_000 };

type Kind = JobSummary['kind'];
const KINDS: Record<Kind, string> = { backup: 'Backup', restore: 'Restore', drill: 'Drill' };

/** The jobs, newest first: `#/jobs?state=failed&kind=restore&limit=100`. Filters are in the address. */
export default function Jobs({ route: { query } }: PageProps) {
  const { api } = useSession();
  const state = JOB_STATES.find((known) => known === query.get('state'));
  const kind = (Object.keys(KINDS) as Kind[]).find((known) => known === query.get('kind'));
  const limit = limitOf(query);
  const request = { limit, ...(state ? { state } : {}), ...(kind ? { kind } : {}) };
  const loaded = useData(
    JSON.stringify(request),
    (signal) => api.listJobs(request, signal),
    ({ jobs }) => (jobs.some((job) => !hasEnded(job.state)) ? EVERY_MS.running : EVERY_MS.quiet),
  );
  const go = (changed: { state?: JobState | undefined; kind?: Kind | undefined; limit?: number }) => {
    const next = { state, kind, ...changed };
    navigate(
      href(['jobs'], {
        ...(next.state ? { state: next.state } : {}),
        ...(next.kind ? { kind: next.kind } : {}),
        ...(next.limit === undefined ? {} : { limit: String(next.limit) }),
      }),
    );
  };
  const { data, error } = loaded;
  const any = { value: '', label: 'Any' };
  const stateOptions = [
    any,
    ...JOB_STATES.map((value) => ({ value: value as string, label: stateText(value) })),
  ];
  const kindOptions = [any, ...Object.entries(KINDS).map(([value, label]) => ({ value, label }))];
  return (
    <SpaceBetween size="m">
      {error && <Problem error={error} retry={loaded.reload} />}
      {data && data.unreadable.length > 0 && (
        <Box color="text-status-warning">
          {data.unreadable.length} records can’t be read:{' '}
          {data.unreadable.map(({ job_id }) => job_id).join(', ')}
        </Box>
      )}
      <Table
        variant="full-page"
        stickyHeader
        wrapLines
        loading={!data && !error}
        loadingText="Loading jobs"
        items={data?.jobs ?? []}
        trackBy="job_id"
        header={
          <Header variant="h1" {...(data ? { counter: `(${data.total})` } : {})}>
            Jobs
          </Header>
        }
        filter={
          <SpaceBetween direction="horizontal" size="xs">
            <Select
              inlineLabelText="State"
              selectedOption={stateOptions.find(({ value }) => value === (state ?? '')) ?? any}
              options={stateOptions}
              onChange={({ detail }) =>
                go({ state: JOB_STATES.find((known) => known === detail.selectedOption.value) })
              }
            />
            <Select
              inlineLabelText="Kind"
              selectedOption={kindOptions.find(({ value }) => value === (kind ?? '')) ?? any}
              options={kindOptions}
              onChange={({ detail }) =>
                go({
                  kind: (Object.keys(KINDS) as Kind[]).find((known) => known === detail.selectedOption.value),
                })
              }
            />
          </SpaceBetween>
        }
        columnDefinitions={[
          {
            id: 'job',
            header: 'Job',
            minWidth: 260,
            isRowHeader: true,
            cell: (job) => (
              <>
                <Link href={href(['job', job.job_id])}>
                  <JobName job={job} />
                </Link>
                {job.error && (
                  <Box fontSize="body-s" color="text-body-secondary">
                    <bdi className="anywhere">{shortened(job.error.message)}</bdi>
                  </Box>
                )}
              </>
            ),
          },
          {
            id: 'state',
            header: 'State',
            minWidth: 200,
            cell: ({ state: is }) => <JobStateSign state={is} />,
          },
          {
            id: 'started',
            header: 'Started',
            minWidth: 130,
            cell: ({ created_at }) => <Ago value={created_at} />,
          },
          { id: 'took', header: 'Duration', minWidth: 90, cell: durationText },
          {
            id: 'by',
            header: 'Requested by',
            minWidth: 130,
            cell: ({ requested_by }) => <bdi className="anywhere">{requested_by ?? '–'}</bdi>,
          },
        ]}
        empty={
          error ? undefined : state || kind ? (
            <Empty title="No matching jobs" action={<Button href={href(['jobs'])}>Show all</Button>} />
          ) : (
            <Empty
              title="No jobs yet"
              action={<Button href={href(['create-backup'])}>Create a backup</Button>}
            >
              Backups and restores are listed here for 90 days.
            </Empty>
          )
        }
        footer={
          data &&
          moreFooter({
            limit,
            shown: data.jobs.length,
            total: data.total,
            show: (more) => go({ limit: more }),
          })
        }
      />
    </SpaceBetween>
  );
}

function durationText({ created_at, finished_at }: JobSummary): string {
  return finished_at ? duration((Date.parse(finished_at) - Date.parse(created_at)) / 1000) : '';
}

/** Longest reason in the list, in characters; the page of the job shows all of it. */
const REASON_MAX = 160;

function shortened(text: string): string {
  return text.length > REASON_MAX ? `${text.slice(0, REASON_MAX)}…` : text;
}
