import type { Overview } from '../../shared/operations/overview.ts';
import type { JobSummary } from '../../shared/workflows/job/summary.ts';

/** One day of the strip, in the user's zone. */
export interface DaySummary {
  /** `2026-01-02` */
  readonly date: string;
  readonly good: number;
  readonly damaged: number;
  /** Backup jobs that failed. */
  readonly failed: number;
}

/** This number of days up to today, oldest first. */
export function strip(
  history: Overview['history'],
  failures: readonly Pick<JobSummary, 'created_at'>[],
  count: number,
  today = new Date(),
): DaySummary[] {
  const days = new Map<string, { good: number; damaged: number; failed: number }>();
  for (let back = count - 1; back >= 0; back--) {
    const date = new Date(today.getFullYear(), today.getMonth(), today.getDate() - back);
    days.set(localDate(date), { good: 0, damaged: 0, failed: 0 });
  }
  const at = (time: string) => days.get(localDate(new Date(time)));
  for (const { created_at, verified } of history) {
    const day = at(created_at);
    if (day) day[verified ? 'good' : 'damaged']++;
  }
  for (const { created_at } of failures) {
    const day = at(created_at);
    if (day) day.failed++;
  }
  return [...days].map(([date, counts]) => ({ date, ...counts }));
}

/** `2026-01-02` in the user's own calendar. */
function localDate(date: Date): string {
  const two = (number: number) => String(number).padStart(2, '0');
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

/** The events of a day, in words. */
export function dayText({ date, good, damaged, failed }: DaySummary): string {
  const parts = [
    good > 0 ? `${good} good` : '',
    damaged > 0 ? `${damaged} damaged` : '',
    failed > 0 ? `${failed} failed` : '',
  ].filter((part) => part !== '');
  return `${date}: ${parts.length === 0 ? 'no backup' : parts.join(', ')}`;
}
