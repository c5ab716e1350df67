import Box from '@cloudscape-design/components/box';
import ExpandableSection from '@cloudscape-design/components/expandable-section';
import ProgressBar from '@cloudscape-design/components/progress-bar';
import SpaceBetween from '@cloudscape-design/components/space-between';
import StatusIndicator from '@cloudscape-design/components/status-indicator';
import Table from '@cloudscape-design/components/table';
import {
  groupUnits,
  isDone,
  LISTED_MAX,
  type NamedUnit,
  overallText,
  stageText,
  unitText,
  unitTexts,
} from '../../cli/progress-units.ts';
import { hasEnded } from '../../shared/core/job-state.ts';
import { roleOf, type StoreRole, suffixOf } from '../../shared/core/store-names.ts';
import type { JobView } from '../../shared/operations/show-job.ts';

type StoreProgress = JobView['progress'][number];

const ROLES: Record<StoreRole, string> = {
  graph: 'Graph',
  vectors: 'Vectors',
  kv: 'Key-value data',
  config: 'Configuration',
};

/** A store's name in words: `Graph`, `Key-value data (files)`. */
export function storeName(store: StoreProgress['store']): string {
  if (store === 'archive') return 'Archive';
  const suffix = suffixOf(store);
  return `${ROLES[roleOf(store)]}${suffix === undefined ? '' : ` (${suffix})`}`;
}

const PHASES: Record<StoreProgress['phase'], string> = {
  export: 'Exporting',
  inspect: 'Verifying archive',
  compare: 'Comparing records',
  'test-load': 'Testing snapshots',
  rehearse: 'Rehearsing',
  clear: 'Clearing',
  load: 'Loading',
  verify: 'Comparing with archive',
  finish: 'Cleaning up',
  remove: 'Removing what was restored',
  seal: 'Composing archive',
  'read-back': 'Verifying archive',
};

/** One bar for the whole job, and one for each store: its phase, progress, rate and remaining time. */
export function StoreBars({ job }: { job: JobView }) {
  const ended = hasEnded(job.state);
  if (job.progress.length === 0) {
    return ended ? null : (
      <StatusIndicator type="pending">
        {job.state === 'awaiting_confirmation' ? 'Waiting for confirmation' : 'No store has started yet'}
      </StatusIndicator>
    );
  }
  return (
    <SpaceBetween size="l">
      {job.overall?.percent !== undefined && !ended && job.progress.length > 1 && (
        <ProgressBar
          label="All stores"
          description={firstUpper(stageText(job.overall))}
          additionalInfo={overallText(job.overall)}
          value={job.overall.percent}
        />
      )}
      {job.progress.map((store) => (
        <StoreBar key={store.store} store={store} ended={ended} />
      ))}
    </SpaceBetween>
  );
}

function firstUpper(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** The bar of one store. Many collections are summarized in one line, with a table of them below. */
function StoreBar({ store, ended }: { store: StoreProgress; ended: boolean }) {
  const { finished } = store;
  const percent = finished ? 100 : store.work?.percent;
  const stopped = ended && !finished;
  const { collections } = groupUnits(store);
  const texts = unitTexts(store);
  return (
    <div>
      {percent === undefined && !stopped ? (
        <>
          <strong>{storeName(store.store)}</strong>
          <div>
            <StatusIndicator type="in-progress">{[PHASES[store.phase], ...texts].join('; ')}</StatusIndicator>
          </div>
        </>
      ) : (
        <ProgressBar
          label={storeName(store.store)}
          description={PHASES[store.phase]}
          additionalInfo={texts.join('; ')}
          {...(stopped
            ? { status: 'error' as const, resultText: `Stopped while ${PHASES[store.phase].toLowerCase()}` }
            : { value: percent ?? 0 })}
        />
      )}
      {collections.size > LISTED_MAX && <Collections collections={collections} finished={finished} />}
    </div>
  );
}

/** Every collection of a store with its progress, the unfinished ones first. */
function Collections({
  collections,
  finished,
}: {
  collections: ReadonlyMap<string, readonly NamedUnit[]>;
  finished: boolean;
}) {
  const rows = [...collections]
    .map(([name, units]) => ({ name, units, done: finished || isDone(units) }))
    .sort((a, b) => Number(a.done) - Number(b.done) || a.name.localeCompare(b.name, 'en', { numeric: true }));
  return (
    <ExpandableSection headerText="Collections">
      <Table
        variant="embedded"
        contentDensity="compact"
        wrapLines
        items={rows}
        trackBy="name"
        columnDefinitions={[
          { id: 'name', header: 'Collection', isRowHeader: true, cell: ({ name }) => <bdi>{name}</bdi> },
          {
            id: 'progress',
            header: 'Progress',
            cell: ({ units }) =>
              units.map(([unit, of]) => unitText(unit.slice(0, unit.indexOf(':')), of, finished)).join(', '),
          },
          {
            id: 'state',
            header: 'State',
            cell: ({ done }) => (
              <StatusIndicator type={done ? 'success' : 'in-progress'}>
                {done ? 'Done' : 'In progress'}
              </StatusIndicator>
            ),
          },
        ]}
        empty={<Box>No collections</Box>}
      />
    </ExpandableSection>
  );
}
