import { recordCounts } from '../../catalog/record-counts.ts';
import { InvalidInputError } from '../../core/errors.ts';
import type { StoreProbe } from '../../stores/export-step.ts';
import type { LegContext } from '../../stores/leg.ts';
import type { Store } from '../../stores/store.ts';
import type { RestorePlan } from './plan.ts';

/** Counts that the reason lists. */
const COUNTS_SHOWN_MAX = 5;

/**
 * Why a restore in mode `if_empty` refuses a store: its scope holds records. Undefined if it is empty, and for other
 * modes. Collections without points, constraints and indexes are not records.
 */
export function notEmpty(
  { options }: Pick<RestorePlan, 'options'>,
  { counts }: Pick<StoreProbe, 'counts'>,
): string | undefined {
  if (options.mode !== 'if_empty') return undefined;
  const held = Object.entries(recordCounts(counts)).filter(([, count]) => count > 0);
  if (held.length === 0) return undefined;
  const shown = held.slice(0, COUNTS_SHOWN_MAX).map(([name, count]) => `${name} ${count}`);
  const more = held.length - shown.length;
  return `the target is not empty (${shown.join(', ')}${more > 0 ? `, and ${more} more` : ''}), and the restore was requested for an empty target only (\`--if-empty\`, "mode": "if_empty")`;
}

/**
 * Checks again before the first write, under the lock, because the inspection may be a day old. Throws
 * InvalidInputError if the scope now holds records.
 */
export async function requireEmpty(plan: RestorePlan, store: Store, context: LegContext): Promise<void> {
  if (plan.options.mode !== 'if_empty') return;
  const reason = notEmpty(plan, await store.probe(context));
  if (reason === undefined) return;
  throw new InvalidInputError(
    `Since the inspection, ${store.name} of target "${plan.target}" has changed: ${reason}.`,
    {
      remedy:
        'Find out what writes to the target, then restore again, with another mode if its records may be deleted.',
    },
  );
}
