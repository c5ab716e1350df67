import type { Overview } from '../../shared/operations/overview.ts';

/** A good backup older than this is told as a warning, in hours: the default schedule is daily. */
const OLD_HOURS = 48;
const HOUR_MS = 3_600_000;

/** The answer to the one question: could this target be brought back right now? */
export interface Verdict {
  readonly grade: 'yes' | 'old' | 'no';
  readonly answer: string;
  /** Why, in one or two sentences. */
  readonly because: string;
}

type Target = Overview['targets'][number];

/** @param now  milliseconds since 1970 */
export function verdictOf({ newest, newest_good: good, damaged }: Target, now: number): Verdict {
  const broken =
    damaged === 0 ? '' : ` ${damaged === 1 ? 'One backup is' : `${damaged} backups are`} damaged.`;
  if (!good) {
    const because = newest
      ? 'None of its backups holds every store and was read back as it was written.'
      : 'There is no backup of it.';
    return { grade: 'no', answer: 'No', because: because + broken };
  }
  const hours = (now - Date.parse(good.created_at)) / HOUR_MS;
  const proof = 'Its newest good backup holds every store, and every byte of it was read back.';
  if (hours > OLD_HOURS) {
    const days = Math.floor(hours / 24);
    return {
      grade: 'old',
      answer: `Only as it was ${days} days ago`,
      because: `No good backup is newer. ${proof}${broken}`,
    };
  }
  return { grade: 'yes', answer: 'Yes', because: proof + broken };
}
