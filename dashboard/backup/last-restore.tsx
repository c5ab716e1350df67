import Box from '@cloudscape-design/components/box';
import Container from '@cloudscape-design/components/container';
import Header from '@cloudscape-design/components/header';
import Link from '@cloudscape-design/components/link';
import StatusIndicator from '@cloudscape-design/components/status-indicator';
import Table from '@cloudscape-design/components/table';
import type { ApiClient } from '../api.ts';
import { storeName } from '../job/store-bars.tsx';
import { Empty, Show } from '../parts/states.tsx';
import { Ago } from '../parts/time.tsx';
import { href } from '../router.ts';
import { useSession } from '../session.tsx';
import { useData } from '../use-data.ts';
import { lastRestoreOf, smokeOf } from './last-restore.ts';

/** The API's largest page. */
const JOBS = 500;

/** The last restore or drill of a backup, with the answers to its smoke checks. */
export function LastRestore({ backupId }: { backupId: string }) {
  const { api } = useSession();
  const loaded = useData(`last restore of ${backupId}`, (signal) => findLast(api, backupId, signal));
  return (
    <Show loaded={loaded} what="the restores of this backup">
      {(job) =>
        job === null ? (
          <Container header={<Header variant="h2">Last restore</Header>}>
            <Empty title="Not restored in the last 90 days">
              A drill restores it to a scratch place, compares every record, and asks the smoke questions.
            </Empty>
          </Container>
        ) : (
          <SmokeTable job={job} />
        )
      }
    </Show>
  );
}

async function findLast(api: ApiClient, backupId: string, signal: AbortSignal) {
  const lists = await Promise.all(
    (['restore', 'drill'] as const).map((kind) =>
      api.listJobs({ kind, state: 'completed', limit: JOBS }, signal),
    ),
  );
  const last = lastRestoreOf(
    backupId,
    lists.flatMap(({ jobs }) => jobs),
  );
  return last ? api.showJob(last.job_id, signal) : null;
}

function SmokeTable({ job }: { job: NonNullable<Awaited<ReturnType<typeof findLast>>> }) {
  const isDrill = job.kind === 'drill';
  return (
    <Table
      variant="container"
      // Questions and answers may be long, and must not be truncated.
      wrapLines
      header={
        <Header
          variant="h2"
          description={
            <>
              By a {isDrill ? 'drill' : 'restore'},{' '}
              <Link href={href(isDrill ? ['drills', job.job_id] : ['job', job.job_id])} fontSize="inherit">
                <Ago value={job.finished_at ?? job.updated_at} />
              </Link>
              . Every record was read back and compared. Answers to its smoke checks:
            </>
          }
        >
          Last restore
        </Header>
      }
      items={smokeOf(job)}
      trackBy={({ store, question }) => `${store} ${question}`}
      columnDefinitions={[
        {
          id: 'question',
          header: 'Smoke check',
          isRowHeader: true,
          minWidth: 180,
          cell: ({ store, question }) => (
            <>
              {storeName(store as 'graph')}: <bdi className="anywhere">{question}</bdi>
            </>
          ),
        },
        {
          id: 'before',
          header: isDrill ? 'Target' : 'Before',
          cell: ({ before }) => <bdi className="anywhere">{before}</bdi>,
        },
        {
          id: 'after',
          header: isDrill ? 'Restored copy' : 'After',
          cell: ({ after }) => <bdi className="anywhere">{after}</bdi>,
        },
        {
          id: 'same',
          header: 'Comparison',
          minWidth: 160,
          cell: ({ before, after }) => (
            <StatusIndicator type={before === after ? 'success' : 'info'}>
              {before === after ? 'Same answer' : 'Different answer'}
            </StatusIndicator>
          ),
        },
      ]}
      empty={<Box>No smoke checks are configured.</Box>}
    />
  );
}
