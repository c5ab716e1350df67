import pc from '../shared/core/colors.ts';
import { roleOf, type StoreName, suffixOf } from '../shared/core/store-names.ts';
import type { StoreProgress } from '../shared/operations/job-progress.ts';
import { unitTexts } from './progress-units.ts';

const PHASES: Record<StoreProgress['phase'], string> = {
  export: 'export',
  inspect: 'inspection',
  compare: 'comparison',
  'test-load': 'test load',
  clear: 'clear',
  load: 'load',
  verify: 'verification',
  finish: 'cleanup',
  rehearse: 'rehearse',
  remove: 'removal',
  seal: 'composition',
  'read-back': 'verification',
};

/** The name of a store, for a label: `graph`, `key-value`, `key-value (files)`. */
export function storeText(store: string): string {
  const [role, suffix] = [roleOf(store as StoreName), suffixOf(store as StoreName)];
  return `${role === 'kv' ? 'key-value' : role}${suffix === undefined ? '' : ` (${suffix})`}`;
}

/** What a store is doing: `graph export`. */
export function phaseText({ store, phase }: StoreProgress): string {
  return `${storeText(store)} ${PHASES[phase]}`;
}

/**
 * The progress of a store: `1,200 of 5,000 nodes, 300/s, 13 s left`. Many collections are summarized unless `verbose`:
 * `200 collections, 198 done, 13.3 MB`.
 */
export function progressText(progress: StoreProgress, verbose = false): string {
  const texts = unitTexts(progress, verbose);
  if (texts.length > 0) return texts.join(pc.dim(' · '));
  return progress.finished ? 'done' : 'started';
}

/** {@link progressText} after the percentage that is done, for output without a bar. */
export function progressLine(progress: StoreProgress, verbose = false): string {
  const percent = progress.finished ? undefined : progress.work?.percent;
  return `${percent === undefined ? '' : `${percent}%: `}${progressText(progress, verbose)}`;
}
