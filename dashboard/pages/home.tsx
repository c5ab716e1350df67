import Box from '@cloudscape-design/components/box';
import Button from '@cloudscape-design/components/button';
import Container from '@cloudscape-design/components/container';
import Header from '@cloudscape-design/components/header';
import Icon from '@cloudscape-design/components/icon';
import KeyValuePairs from '@cloudscape-design/components/key-value-pairs';
import Link from '@cloudscape-design/components/link';
import SpaceBetween from '@cloudscape-design/components/space-between';
import StatusIndicator from '@cloudscape-design/components/status-indicator';
import { lazy, Suspense, useEffect, useRef } from 'react';
import { bytes, count, duration } from '../../cli/format.ts';
import { hasEnded } from '../../shared/core/job-state.ts';
import type { ScheduleList } from '../../shared/operations/list-schedules.ts';
import type { Overview } from '../../shared/operations/overview.ts';
import type { Grade, TargetRecoverability } from '../../shared/operations/recoverability.ts';
import type { JobSummary } from '../../shared/workflows/job/summary.ts';
import { Calendar } from '../home/calendar.tsx';
import { ReceiversNotice } from '../home/receivers-notice.tsx';
import { JobName } from '../job/name.tsx';
import { JobStateSign } from '../job/states.tsx';
import { blocked } from '../parts/blocked.ts';
import { Guard } from '../parts/guard.tsx';
import { Empty, Loading, NoTargets, Problem, Show, UNKNOWN } from '../parts/states.tsx';
import { Ago, Time } from '../parts/time.tsx';
import { href } from '../router.ts';
import { useSession } from '../session.tsx';
import { useData } from '../use-data.ts';

/** Refresh interval of the page, in milliseconds: while a job runs, and otherwise. */
const RUNNING_MS = 4000;
const QUIET_MS = 20_000;
/** Jobs that are searched for running and failed ones. */
const JOBS = 500;
const FAILED_SHOWN = 5;
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
  const verdicts = useData('recoverability', (signal) => api.recoverability({}, signal), QUIET_MS);
  const schedules = useData('schedules', api.listSchedules, QUIET_MS);
  const { reload } = loaded;
  const { reload: judge } = verdicts;
  const before = useRef(0);
  useEffect(() => {
    // A job that has ended may have created a backup.
    if (running.length < before.current) {
      reload();
      judge();
    }
    before.current = running.length;
  }, [running.length, reload, judge]);
  return (
    <SpaceBetween size="l">
      <Header
        variant="h1"
        actions={
          <SpaceBetween direction="horizontal" size="xs">
            <Button href={href(['restore'])} {...blocked(refusal('restore'))}>
              Restore
            </Button>
            <Button variant="primary" href={href(['create-backup'])} {...blocked(refusal('startBackup'))}>
              Create backup
            </Button>
          </SpaceBetween>
        }
      >
        Recoverable now?
      </Header>
      <ReceiversNotice />
      <Show loaded={loaded} what="the backups">
        {(overview) => (
          <SpaceBetween size="l">
            {schedules.error && <Problem error={schedules.error} retry={schedules.reload} />}
            {verdicts.error && <Problem error={verdicts.error} retry={verdicts.reload} />}
            {overview.targets.length === 0 && <NoTargets />}
            {overview.targets.map((target) => (
              <Target
                key={target.target}
                target={target}
                verdict={verdicts.data?.targets.find((one) => one.target === target.target)}
                next={nextRun(schedules.data, target.target, overview.targets.length)}
              />
            ))}
            {overview.targets.length > 0 && (
              <Calendar targets={overview.targets.map(({ target }) => target)} />
            )}
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
  yes_with_warnings: 'status-warning',
  no: 'status-negative',
} as const;
const COLORS = {
  yes: 'text-status-success',
  yes_with_warnings: 'text-status-warning',
  no: 'text-status-error',
} as const;
const ANSWERS = { yes: 'Yes', yes_with_warnings: 'Yes, with warnings', no: 'No' } as const;
const TYPES = { no: 'error', warning: 'warning', note: 'info' } as const;

interface TargetProps {
  readonly target: Overview['targets'][number];
  /** Undefined while unknown. */
  readonly verdict: TargetRecoverability | undefined;
  /** The time of the next planned backup: `none`, or undefined while unknown. */
  readonly next: string | undefined;
}

function Target({ target, verdict, next }: TargetProps) {
  const good = target.newest_good;
  return (
    <section aria-label={target.target}>
      <Container
        header={
          <Header variant="h2">
            <bdi>{target.target}</bdi>
          </Header>
        }
      >
        <SpaceBetween size="m">
          <KeyValuePairs
            columns={3}
            minColumnWidth={150}
            items={[
              { label: 'Recoverable?', value: verdict ? <Answer grade={verdict.recoverable} /> : UNKNOWN },
              ...(verdict ? measures(verdict) : []),
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
                label: 'Backups',
                value: (
                  <Link href={href(['backups'], { target: target.target })}>{count(target.backups)}</Link>
                ),
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
          {verdict?.reasons.map(({ code, severity, text, remedy }) => (
            <StatusIndicator key={code} type={TYPES[severity]} wrapText>
              <span className="anywhere">
                <bdi>{text}</bdi> {remedy}
              </span>
            </StatusIndicator>
          ))}
        </SpaceBetween>
      </Container>
    </section>
  );
}

function Answer({ grade }: { grade: Grade }) {
  return (
    <Box fontSize="heading-l" fontWeight="bold" color={COLORS[grade]}>
      <Icon name={ICONS[grade]} size="inherit" /> {ANSWERS[grade]}
    </Box>
  );
}

/** The loss and the duration of a restore now, and the last drill. */
function measures({
  backup,
  rpo_seconds,
  rpo_allowed_seconds,
  rto_seconds,
  drill,
  rehearsal,
  proof,
}: TargetRecoverability) {
  const last = drill ?? rehearsal;
  return [
    {
      label: 'A restore would lose',
      value:
        rpo_seconds === undefined ? (
          'Everything'
        ) : (
          <>
            The last {duration(rpo_seconds)}
            {rpo_allowed_seconds !== undefined && ` (allowed: ${duration(rpo_allowed_seconds)})`}
          </>
        ),
    },
    {
      label: 'A restore would take',
      value: rto_seconds === undefined ? (backup ? 'Unknown' : '–') : `About ${duration(rto_seconds)}`,
    },
    {
      label: drill || !rehearsal ? 'Last drill' : 'Last rehearsal',
      value: last ? <Proved {...last} page="drills" /> : 'None',
    },
    // The proof may also be a drill, which is named above.
    ...(proof?.kind === 'restore'
      ? [{ label: 'Last proved restore', value: <Proved {...proof} page="job" /> }]
      : []),
  ];
}

/** Which backup a job proved, and when, with a link to the job. */
function Proved({
  newest,
  job_id,
  finished_at,
  page,
}: Pick<NonNullable<TargetRecoverability['drill']>, 'newest' | 'job_id' | 'finished_at'> & {
  page: 'drills' | 'job';
}) {
  return (
    <>
      {newest ? 'Latest backup, ' : 'An earlier backup, '}
      <Link href={href([page, job_id])}>
        <Ago value={finished_at} />
      </Link>
    </>
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
                  <JobName job={job} />
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
 * The next scheduled backup of a target, {@link NONE} if there is none; a schedule without a target applies to the only
 * one. Undefined while the schedules are unknown.
 */
function nextRun(list: ScheduleList | undefined, target: string, targets: number): string | undefined {
  if (!list) return undefined;
  const runs = list.schedules
    .filter(
      ({ backup }) =>
        backup &&
        (backup.target === target ||
          (backup.target === undefined && (targets === 1 || target === 'default'))),
    )
    .flatMap(({ next_run }) => next_run ?? []);
  return runs.sort()[0] ?? NONE;
}

/** Properties of a disabled button, with the reason. */
