import ProgressBar from '@cloudscape-design/components/progress-bar';
import SpaceBetween from '@cloudscape-design/components/space-between';
import StatusIndicator from '@cloudscape-design/components/status-indicator';
import type { JobView } from '../../shared/operations/show-job.ts';
import { percentOf, unitText } from './progress-numbers.ts';
import { hasEnded } from './states.tsx';

type StoreProgress = JobView['progress'][number];

const STORES: Record<StoreProgress['store'], string> = {
  graph: 'Graph',
  vectors: 'Vectors',
  kv: 'Key-value data',
  config: 'Configuration',
  archive: 'Archive',
};

/** A store's name in words. */
export function storeName(store: StoreProgress['store']): string {
  return STORES[store];
}
const PHASES: Record<StoreProgress['phase'], string> = {
  export: 'Exporting',
  inspect: 'Verifying archive',
  clear: 'Clearing',
  load: 'Loading',
  verify: 'Comparing with archive',
  finish: 'Cleaning up',
  seal: 'Composing archive',
  'read-back': 'Verifying archive',
};

/** One bar for each store: what it does, how far it has come, how fast, and how long it will still take. */
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
      {job.progress.map((store) => {
        const percent = percentOf(store);
        const told = Object.entries(store.units).map(([name, unit]) => unitText(name, unit));
        const stopped = ended && !store.finished;
        return percent === undefined && !stopped ? (
          <div key={store.store}>
            <strong>{STORES[store.store]}</strong>
            <div>
              <StatusIndicator type="in-progress">
                {[PHASES[store.phase], ...told].join('; ')}
              </StatusIndicator>
            </div>
          </div>
        ) : (
          <ProgressBar
            key={store.store}
            label={STORES[store.store]}
            description={PHASES[store.phase]}
            additionalInfo={told.join('; ')}
            {...(stopped
              ? { status: 'error' as const, resultText: `Stopped while ${PHASES[store.phase].toLowerCase()}` }
              : { value: percent ?? 0 })}
          />
        );
      })}
    </SpaceBetween>
  );
}
