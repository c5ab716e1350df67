import Box from '@cloudscape-design/components/box';
import Button from '@cloudscape-design/components/button';
import Container from '@cloudscape-design/components/container';
import Header from '@cloudscape-design/components/header';
import Icon from '@cloudscape-design/components/icon';
import KeyValuePairs from '@cloudscape-design/components/key-value-pairs';
import Link from '@cloudscape-design/components/link';
import SpaceBetween from '@cloudscape-design/components/space-between';
import { lazy, Suspense, useEffect, useRef } from 'react';
import { bytes, count } from '../../cli/format.ts';
import type { ScheduleList } from '../../shared/operations/list-schedules.ts';
import type { Overview } from '../../shared/operations/overview.ts';
import type { JobSummary } from '../../shared/workflows/job/summary.ts';
import { DayStrip } from '../home/day-strip.tsx';
import { strip } from '../home/days.ts';
import { drillOf } from '../home/drill.ts';
import { verdictOf } from '../home/verdict.ts';
import { hasEnded, JobStateSign } from '../job/states.tsx';
import { Guard } from '../parts/guard.tsx';
import { Empty, Loading, NoTargets, Problem, Show, UNKNOWN } from '../parts/states.tsx';
import { Ago, Time, useNow } from '../parts/time.tsx';
import { href } from '../router.ts';
import { useSession } from '../session.tsx';
import { useData } from '../use-data.ts';

/** How often the page is brought up to date, in milliseconds: while something runs, and while nothing does. */
const RUNNING_MS = 4000;
const QUIET_MS = 20_000;
/** Jobs that are looked at for what runs and what failed. */
const JOBS = 500;
const FAILED_SHOWN = 5;
const STRIP_DAYS = 30;
const NONE = 'none';

const Charts = lazy(() => import('../home/charts.tsx'));

/** Whether each target is recoverable, and which jobs are running. */
export default function Home() {
  const { api, refusal } = useSession();
  const jobs = useData(
    'jobs',
    (signal) => api.listJobs({ limit: JOBS }, signal),
    ({ jobs: all }) => (all.some(({ state }) => !hasEnded(state)) ? RUNNING_MS : QUIET_MS),
  );
  const running = jobs.data?.jobs.filter(({ state }) => !hasEnded(state)) ?? [];
  const loaded = useData('overview', (signal) => api.overview(signal), QUIET_MS);
  const schedules = useData('schedules', api.listSchedules, QUIET_MS);
  const { reload } = loaded;
  const before = useRef(0);
  useEffect(() => {
    // When a job has ended there may be a new backup.
    if (running.length < before.current) reload();
    before.current = running.length;
  }, [running.length, reload]);
  return (
    <SpaceBetween size="l">
      <Header
        variant="h1"
        actions={
          <SpaceBetween direction="horizontal" size="xs">
            <Button href={href(['restore'])} {...disabled(refusal('operator'))}>
              Restore
            </Button>
            <Button variant="primary" href={href(['create-backup'])} {...disabled(refusal('operator'))}>
              Create backup
            </Button>
          </SpaceBetween>
        }
      >
        Recoverable now?
      </Header>
      <Show loaded={loaded} what="the backups">
        {(overview) => (
          <SpaceBetween size="l">
            {schedules.error && <Problem error={schedules.error} retry={schedules.reload} />}
            {overview.targets.length === 0 && <NoTargets />}
            {overview.targets.map((target) => (
              <Target
                key={target.target}
                target={target}
                jobs={jobs.data?.jobs}
                next={nextRun(schedules.data, target.target, overview.targets.length)}
              />
            ))}
            <Container header={<Header variant="h2">Last {STRIP_DAYS} days</Header>}>
              <DayStrip
                days={strip(
                  overview.history,
                  (jobs.data?.jobs ?? []).filter(
                    ({ kind, state }) => kind === 'backup' && state === 'failed',
                  ),
                  STRIP_DAYS,
                )}
              />
            </Container>
            <Guard what="The charts">
              <Suspense fallback={<Loading what="charts" />}>
                <Charts history={overview.history} />
              </Suspense>
            </Guard>
          </SpaceBetween>
        )}
      </Show>
      <Show loaded={jobs} what="the jobs">
        {({ jobs: all }) => (
          <SpaceBetween size="l">
            <JobsBox title="Running now" jobs={running} none="No jobs are running." />
            <JobsBox
              title="Failed or rolled back"
              jobs={all
                .filter(({ state }) => state === 'failed' || state === 'rolled_back')
                .slice(0, FAILED_SHOWN)}
              none="No failures in the last 90 days."
            />
          </SpaceBetween>
        )}
      </Show>
    </SpaceBetween>
  );
}

const ICONS = {
  yes: 'status-positive',
  warnings: 'status-warning',
  old: 'status-warning',
  no: 'status-negative',
} as const;
const COLORS = {
  yes: 'text-status-success',
  warnings: 'text-status-warning',
  old: 'text-status-warning',
  no: 'text-status-error',
} as const;

interface TargetProps {
  readonly target: Overview['targets'][number];
  /** Undefined while they are not known. */
  readonly jobs: readonly JobSummary[] | undefined;
  /** When the next backup of it is planned: `none`, or undefined while that is not known. */
  readonly next: string | undefined;
}

function Target({ target, jobs, next }: TargetProps) {
  const now = useNow(30_000);
  const { grade, answer, because } = verdictOf(target, now);
  const good = target.newest_good;
  const drill = jobs && drillOf(target, jobs);
  return (
    <section aria-label={target.target}>
      <Container
        header={
          <Header variant="h2" description={because}>
            <bdi>{target.target}</bdi>
          </Header>
        }
      >
        <KeyValuePairs
          columns={3}
          minColumnWidth={150}
          items={[
            {
              label: 'Recoverable?',
              value: (
                <Box fontSize="heading-l" fontWeight="bold" color={COLORS[grade]}>
                  <Icon name={ICONS[grade]} size="inherit" /> {answer}
                </Box>
              ),
            },
            {
              label: 'Latest good backup',
              value: good ? (
                <Link href={href(['backup', good.backup_id])}>
                  <Ago value={good.created_at} />
                </Link>
              ) : (
                'None'
              ),
            },
            {
              label: 'Last verified',
              value: good ? <Ago value={good.verification.at} /> : 'Never',
            },
            {
              label: 'Last restore drill',
              value: drill ? (
                <>
                  {drill.newest ? 'Latest backup, ' : 'An earlier backup, '}
                  <Link href={href(['job', drill.job.job_id])}>
                    <Ago value={drill.job.finished_at ?? drill.job.updated_at} />
                  </Link>
                </>
              ) : jobs ? (
                'None in 90 days'
              ) : (
                UNKNOWN
              ),
            },
            {
              label: 'Backups',
              value: <Link href={href(['backups'], { target: target.target })}>{count(target.backups)}</Link>,
            },
            { label: 'Storage used', value: bytes(target.bytes) },
            {
              label: 'Next scheduled backup',
              value: (
                <Link href={href(['schedules'])}>
                  {next === undefined ? UNKNOWN : next === NONE ? 'None' : <Time value={next} />}
                </Link>
              ),
            },
          ]}
        />
      </Container>
    </section>
  );
}

function JobsBox({ title, jobs, none }: { title: string; jobs: readonly JobSummary[]; none: string }) {
  return (
    <Container
      header={
        <Header variant="h2" actions={<Link href={href(['jobs'])}>All jobs</Link>}>
          {title}
        </Header>
      }
    >
      {jobs.length === 0 ? (
        <Empty title={none} />
      ) : (
        <SpaceBetween size="s">
          {jobs.map((job) => (
            <div key={job.job_id}>
              <SpaceBetween direction="horizontal" size="m">
                <JobStateSign state={job.state} />
                <Link href={href(['job', job.job_id])}>
                  {job.kind === 'backup' ? 'Backup of' : 'Restore into'} <bdi>{job.target}</bdi>
                </Link>
                <Ago value={job.created_at} />
              </SpaceBetween>
              {job.error && (
                <Box color="text-body-secondary" fontSize="body-s">
                  <bdi>{job.error.message}</bdi>
                </Box>
              )}
            </div>
          ))}
        </SpaceBetween>
      )}
    </Container>
  );
}

/**
 * When a schedule next backs up a target, {@link NONE} where none does; one that names no target means the only one there
 * is. Undefined while the schedules are not known.
 */
function nextRun(list: ScheduleList | undefined, target: string, targets: number): string | undefined {
  if (!list) return undefined;
  const runs = list.schedules
    .filter(
      ({ backup }) =>
        backup.target === target || (backup.target === undefined && (targets === 1 || target === 'default')),
    )
    .flatMap(({ next_run }) => next_run ?? []);
  return runs.sort()[0] ?? NONE;
}

/** What a button needs that the user may not press, and why. */
function disabled(reason: string | undefined) {
  return reason === undefined ? {} : { disabled: true, disabledReason: reason };
}
