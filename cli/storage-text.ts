import { offerText, usdText } from '../shared/core/cost-text.ts';
import type { BackupView } from '../shared/operations/show-backup.ts';
import type { JobView } from '../shared/operations/show-job.ts';
import { localTime } from './format.ts';

type Storage = NonNullable<BackupView['storage']>;

/** Where an archive is, as label and value: its class, whether it can be read, how to thaw it, and its minimum duration. */
export function storageFields(storage: Storage | undefined): [label: string, value: string | undefined][] {
  if (storage === undefined) return [];
  const { storage_class, since, thaw = [], minimum } = storage;
  return [
    ['storage class', `${storage_class}${since === undefined ? '' : ` since ${localTime(since)}`}`],
    ['readable', readableText(storage)],
    ...thaw.map((offer, index): [string, string] => [
      index === 0 ? 'thawing' : '',
      `${offerText(offer)} (estimate)`,
    ]),
    [
      'billed until',
      minimum &&
        `${localTime(minimum.until)} at least (${minimum.days} days in ${storage_class}); deleting it now: ${usdText(minimum.usd)} for nothing (estimate)`,
    ],
  ];
}

/** Whether an archive can be read, in words. Undefined if it always can. */
export function readableText({
  state,
  readable_until,
}: Pick<Storage, 'state' | 'readable_until'>): string | undefined {
  if (state === 'readable') return undefined;
  if (state === 'cold') return 'no: it has to be thawed first';
  if (state === 'thawing') return 'not yet: it is being thawed';
  return readable_until === undefined
    ? 'yes: it is thawed'
    : `until ${localTime(readable_until)}: it is thawed`;
}

/** How a job waits, or has waited, for its archive. Undefined if it did not. */
export function waitingText({ thaw }: Pick<JobView, 'thaw'>): string | undefined {
  if (thaw === undefined) return undefined;
  const { place, tier, expected_by, ready_at, readable_until } = thaw;
  if (ready_at === undefined) {
    return `waiting for the archive to be thawed from ${place} (${tier}), expected by ${localTime(expected_by)}`;
  }
  const until = readable_until === undefined ? '' : `, readable until ${localTime(readable_until)}`;
  return `thawed from ${place} (${tier}) at ${localTime(ready_at)}${until}`;
}
