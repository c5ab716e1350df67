import Box from '@cloudscape-design/components/box';
import Button from '@cloudscape-design/components/button';
import ButtonDropdown from '@cloudscape-design/components/button-dropdown';
import Header from '@cloudscape-design/components/header';
import Link from '@cloudscape-design/components/link';
import SpaceBetween from '@cloudscape-design/components/space-between';
import StatusIndicator from '@cloudscape-design/components/status-indicator';
import Table from '@cloudscape-design/components/table';
import { useState } from 'react';
import { describeSubset } from '../../../shared/core/describe-subset.ts';
import type { ScheduleView } from '../../../shared/operations/list-schedules.ts';
import { KIND_OF } from '../../job/kinds.ts';
import { JobStateSign } from '../../job/states.tsx';
import { useNotices } from '../../notices.tsx';
import { blocked } from '../../parts/blocked.ts';
import { Question } from '../../parts/question.tsx';
import { Empty, Problem } from '../../parts/states.tsx';
import { Ago, Time } from '../../parts/time.tsx';
import { href, navigate } from '../../router.ts';
import { useSession } from '../../session.tsx';
import { useData } from '../../use-data.ts';
import { timingText } from './timing.ts';

/** Poll interval of the list, in milliseconds: a run by hand appears soon. */
const EVERY_MS = 10_000;
/** The schedules, with their last and next runs and their actions. */
export function ScheduleTable() {
  const { api, refusal } = useSession();
  const { notify, fail } = useNotices();
  const [removing, setRemoving] = useState<string>();
  const [busy, setBusy] = useState<string>();
  const loaded = useData('schedules', api.listSchedules, EVERY_MS);
  const { data, error, reload } = loaded;
  const why = refusal('createSchedule');
  const act = async (name: string, what: string, work: () => Promise<unknown>, done: string) => {
    setBusy(name);
    try {
      await work();
      notify({ type: 'success', header: done }, `schedule ${name}`);
      reload();
    } catch (problem) {
      fail(`${what} failed`, problem);
    } finally {
      setBusy(undefined);
      setRemoving(undefined);
    }
  };
  const choose = ({ name, kind, enabled }: ScheduleView, action: string) => {
    if (action === 'edit') navigate(href(['schedules', name, 'edit']));
    else if (action === 'remove') setRemoving(name);
    else if (action === 'run') {
      void act(
        name,
        `Starting the ${kind}`,
        () => api.runSchedule(name, crypto.randomUUID()),
        `${kind === 'drill' ? 'Drill' : 'Backup'} of schedule ${name} started`,
      );
    } else {
      const done = enabled ? `Schedule ${name} paused` : `Schedule ${name} resumed`;
      void act(name, 'Changing the schedule', () => api.changeSchedule(name, { enabled: !enabled }), done);
    }
  };
  return (
    <SpaceBetween size="m">
      {error && <Problem error={error} retry={reload} />}
      {data?.unreadable.map(({ name, problem }) => (
        <StatusIndicator key={name} type="warning">
          <bdi>{name}</bdi> can’t be read: {problem}
        </StatusIndicator>
      ))}
      <Table
        variant="container"
        wrapLines
        // The actions stay visible if the table is wider than the page.
        stickyColumns={{ last: 1 }}
        loading={!data && !error}
        loadingText="Loading schedules"
        items={data?.schedules ?? []}
        trackBy="name"
        header={
          <Header
            variant="h1"
            {...(data ? { counter: `(${data.schedules.length})` } : {})}
            actions={
              <Button
                variant="primary"
                {...(why ? {} : { href: href(['schedules', 'new']) })}
                {...blocked(why)}
              >
                Create schedule
              </Button>
            }
          >
            Schedules
          </Header>
        }
        columnDefinitions={[
          {
            id: 'name',
            header: 'Name',
            minWidth: 140,
            isRowHeader: true,
            cell: ({ name, description }) => (
              <>
                <bdi>{name}</bdi>
                {description !== '' && (
                  <Box fontSize="body-s" color="text-body-secondary">
                    <bdi>{description}</bdi>
                  </Box>
                )}
              </>
            ),
          },
          {
            id: 'when',
            header: 'When',
            minWidth: 170,
            cell: ({ expression, time_zone }) => (
              <>
                {timingText(expression)}
                {!expression.startsWith('rate(') && ` (${time_zone})`}
              </>
            ),
          },
          {
            id: 'what',
            header: 'Starts',
            minWidth: 130,
            cell: ({ kind, backup, drill }) => (
              <>
                {drill?.rehearsal === 'always' ? 'Rehearsal of' : KIND_OF[kind]}{' '}
                <bdi>
                  {(backup ?? drill)?.target ?? 'the only target'}
                  {backup?.stores ? `: ${backup.stores.join(', ')}` : ''}
                  {backup?.only ? `, only ${describeSubset(backup.only)}` : ''}
                </bdi>
              </>
            ),
          },
          {
            id: 'next',
            header: 'Next run',
            minWidth: 180,
            cell: ({ enabled, next_run }) =>
              enabled ? (
                next_run ? (
                  <Time value={next_run} />
                ) : (
                  'none'
                )
              ) : (
                <StatusIndicator type="stopped">Paused</StatusIndicator>
              ),
          },
          { id: 'last', header: 'Last run', minWidth: 170, cell: lastRun },
          {
            id: 'missed',
            header: 'Missed',
            minWidth: 110,
            cell: ({ missed_total, missed_runs }) =>
              missed_total === 0 ? (
                'none'
              ) : (
                <StatusIndicator type="warning">
                  {missed_total}
                  {missed_runs[0] && (
                    <>
                      , last <Ago value={missed_runs[0]} />
                    </>
                  )}
                </StatusIndicator>
              ),
          },
          {
            id: 'actions',
            header: 'Actions',
            cell: (schedule) => (
              <ButtonDropdown
                variant="inline-icon"
                ariaLabel={`Actions for ${schedule.name}`}
                expandToViewport
                loading={busy === schedule.name}
                items={[
                  { id: 'edit', text: 'Edit', refused: refusal('changeSchedule') },
                  {
                    id: 'toggle',
                    text: schedule.enabled ? 'Pause' : 'Resume',
                    refused: refusal('changeSchedule'),
                  },
                  { id: 'run', text: 'Run now', refused: refusal('runSchedule') },
                  { id: 'remove', text: 'Remove', refused: refusal('removeSchedule', schedule) },
                ].map(({ refused, ...item }) => ({ ...item, ...blocked(refused) }))}
                onItemClick={({ detail }) => choose(schedule, detail.id)}
              />
            ),
          },
        ]}
        empty={
          error ? undefined : (
            <Empty title="No schedules">Without a schedule, backups run only on request.</Empty>
          )
        }
      />
      <Question
        visible={removing !== undefined}
        header="Remove this schedule?"
        no={{ text: 'Cancel', onClick: () => setRemoving(undefined) }}
        yes={{
          text: 'Remove',
          loading: busy !== undefined,
          onClick: () => {
            const name = removing ?? '';
            void act(
              name,
              'Removing the schedule',
              () => api.removeSchedule(name),
              `Schedule ${name} removed`,
            );
          },
        }}
      >
        <bdi>{removing}</bdi> will no longer run. Its existing backups are kept according to their retention,
        and results of drills are kept.
      </Question>
    </SpaceBetween>
  );
}

function lastRun({ last_run: run }: ScheduleView) {
  if (!run) return 'none yet';
  return (
    <>
      <Link href={href(['job', run.job_id])}>
        <Ago value={run.at} />
      </Link>
      {run.by_hand && ', started manually'}
      <br />
      {run.skipped ? (
        <StatusIndicator type="info">Skipped: another job was running</StatusIndicator>
      ) : (
        run.state && <JobStateSign state={run.state} />
      )}
    </>
  );
}
