import Header from '@cloudscape-design/components/header';
import Link from '@cloudscape-design/components/link';
import SpaceBetween from '@cloudscape-design/components/space-between';
import StatusIndicator from '@cloudscape-design/components/status-indicator';
import Table from '@cloudscape-design/components/table';
import { duration } from '../../cli/format.ts';
import { DrillEvidence } from '../drill/evidence.tsx';
import { VerdictSign } from '../drill/verdict.tsx';
import { JobName } from '../job/name.tsx';
import { Command } from '../parts/command.tsx';
import { limitOf, moreFooter } from '../parts/more.tsx';
import { Empty, Problem, Show, Titled } from '../parts/states.tsx';
import { Ago } from '../parts/time.tsx';
import type { PageProps } from '../router.ts';
import { href, navigate } from '../router.ts';
import { useSession } from '../session.tsx';
import { useData } from '../use-data.ts';

const EVERY_MS = 30_000;

/** The results of drills, newest first: `#/drills`, `#/drills?limit=100`; one of them: `#/drills/<id>`. */
export default function Drills({ route: { parts, query } }: PageProps) {
  const [, id] = parts;
  return id === undefined ? <List limit={limitOf(query)} /> : <One id={id} />;
}

function List({ limit }: { limit: number }) {
  const { api } = useSession();
  const { data, error, reload } = useData(
    `drills ${limit}`,
    (signal) => api.listDrills({ limit }, signal),
    EVERY_MS,
  );
  return (
    <SpaceBetween size="m">
      {error && <Problem error={error} retry={reload} />}
      {data?.unreadable.map(({ job_id, problem }) => (
        <StatusIndicator key={job_id} type="warning">
          The record of <bdi>{job_id}</bdi> can’t be read: {problem}
        </StatusIndicator>
      ))}
      <Table
        variant="full-page"
        stickyHeader
        wrapLines
        loading={!data && !error}
        loadingText="Loading drills"
        items={data?.drills ?? []}
        trackBy="job_id"
        header={
          <Header
            variant="h1"
            {...(data ? { counter: `(${data.total})` } : {})}
            description="A drill restores a backup to a scratch place, verifies it and removes it. A rehearsal reads and parses a backup, and restores nothing."
          >
            Drills
          </Header>
        }
        columnDefinitions={[
          {
            id: 'drill',
            header: 'Drill',
            minWidth: 220,
            isRowHeader: true,
            cell: ({ job_id, kind, target }) => (
              <Link href={href(['drills', job_id])}>
                <JobName job={{ kind: 'drill', rehearsal: kind === 'rehearsal', target }} />
              </Link>
            ),
          },
          {
            id: 'verdict',
            header: 'Verdict',
            minWidth: 130,
            cell: ({ verdict }) => <VerdictSign verdict={verdict} />,
          },
          {
            id: 'kind',
            header: 'Kind',
            minWidth: 100,
            cell: ({ kind }) => (kind === 'rehearsal' ? 'Rehearsal' : 'Drill'),
          },
          {
            id: 'backup',
            header: 'Backup',
            minWidth: 220,
            cell: ({ backup_id }) => <span className="anywhere">{backup_id ?? '–'}</span>,
          },
          {
            id: 'started',
            header: 'Started',
            minWidth: 130,
            cell: ({ started_at }) => <Ago value={started_at} />,
          },
          {
            id: 'took',
            header: 'Restored and verified in',
            minWidth: 120,
            cell: ({ restore_seconds: seconds }) => (seconds === undefined ? '–' : duration(seconds)),
          },
        ]}
        empty={
          error ? undefined : (
            <Empty title="No drills yet">
              <Command line="ngbak drill --wait" />
            </Empty>
          )
        }
        footer={
          data &&
          moreFooter({
            limit,
            shown: data.drills.length,
            total: data.total,
            show: (more) => navigate(href(['drills'], { limit: String(more) })),
          })
        }
      />
    </SpaceBetween>
  );
}

function One({ id }: { id: string }) {
  const { api } = useSession();
  const loaded = useData(`drill ${id}`, (signal) => api.showDrill(id, signal));
  if (loaded.error?.status === 404) {
    return (
      <Titled title="Drill not found">
        <Link href={href(['drills'])}>All drills</Link>
      </Titled>
    );
  }
  return (
    <Show loaded={loaded} what="the drill" title="Drill">
      {(drill) => <DrillEvidence drill={drill} />}
    </Show>
  );
}
