import type { CatalogRecord } from '../shared/catalog/record.ts';
import type { Reading } from '../shared/core/reading.ts';
import type { RetentionPolicy } from '../shared/core/retention-policy.ts';
import type { AnySummary } from './answers.ts';

export { bytes, count, duration } from '../shared/core/format.ts';

type Verification = Pick<CatalogRecord['verification'], 'by_checksum'>;

const SECOND_MS = 1000;

/** A time in the user's own zone, `2026-01-02 04:04:05`: ISO 8601 is the same in every language. */
export function localTime(iso: string): string {
  // The Swedish format is ISO 8601.
  return new Date(iso).toLocaleString('sv-SE');
}

/** Where a backup has the data of a store from, and since when. */
export function readingText({ backup_id, at, from, carried, reason }: Reading): string {
  if (from === undefined) return `read${reason === undefined ? '' : `: ${reason}`}`;
  const by =
    from === backup_id ? `, which read it at ${localTime(at)}` : `; read at ${localTime(at)} by ${backup_id}`;
  return `carried from ${from}${by}${carried > 1 ? ` (carried ${carried} times since)` : ''}`;
}

/** Which stores a verification did not read, and when they were read. Undefined if every byte was read. */
export function byChecksumText({ by_checksum }: Verification): string | undefined {
  if (by_checksum === undefined) return undefined;
  const { stores, read_at } = by_checksum;
  return `${stores.join(', ')} by the checksum of their copy; read at ${localTime(read_at)} or later`;
}

/** How long ago, roughly: `3 days ago`. */
export function ago(iso: string, now: number = Date.now()): string {
  const seconds = Math.max(0, (now - Date.parse(iso)) / SECOND_MS);
  const units: [number, string][] = [
    [86_400, 'day'],
    [3600, 'hour'],
    [60, 'minute'],
  ];
  for (const [size, name] of units) {
    const count = Math.floor(seconds / size);
    if (count > 0) return `${count} ${name}${count === 1 ? '' : 's'} ago`;
  }
  return 'just now';
}

/** The rules of a retention policy that keep something: `the newest 7, 14 daily, 8 weekly`. */
export function policyText(policy: RetentionPolicy): string {
  const { keep_last, keep_daily, keep_weekly, keep_monthly, keep_yearly } = policy;
  const rules: [number, string][] = [
    [keep_last, `the newest ${keep_last}`],
    [keep_daily, `${keep_daily} daily`],
    [keep_weekly, `${keep_weekly} weekly`],
    [keep_monthly, `${keep_monthly} monthly`],
    [keep_yearly, `${keep_yearly} yearly`],
  ];
  const texts = rules.filter(([number]) => number > 0).map(([, text]) => text);
  return texts.join(', ') || 'only the newest good one';
}

/**
 * The state of a backup in words: `complete`, `complete with 2 warnings`, `DAMAGED`. Deployments of version 0.1.0 kept
 * no warnings, and report only the result of the last verification.
 */
export function stateText({
  state,
  open_warnings,
  verification,
}: Pick<AnySummary, 'state' | 'open_warnings' | 'verification'>): string {
  if (state === undefined) return verification.state === 'damaged' ? 'DAMAGED' : 'verified';
  if (state === 'damaged') return 'DAMAGED';
  if (state === 'complete') return 'complete';
  return `complete with ${open_warnings === 1 ? '1 warning' : `${open_warnings ?? 'some'} warnings`}`;
}

/** Text from a server made safe for a terminal: control characters could move the cursor or change colours. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: matches control characters to remove them
  return text.replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, '�');
}
