import type { Overview } from '../../shared/operations/overview.ts';

/** A good backup older than this is told as a warning, in hours: the default schedule is daily. */
const OLD_HOURS = 48;
const HOUR_MS = 3_600_000;

/** The answer to the one question: could this target be brought back right now? */
export interface Verdict {
  readonly grade: 'yes' | 'warnings' | 'old' | 'no';
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
      ? 'None of its backups is good: verified, with every store, with records, and not far smaller than expected.'
      : 'There is no backup of it.';
    return { grade: 'no', answer: 'No', because: because + broken };
  }
  const hours = (now - Date.parse(good.created_at)) / HOUR_MS;
  const doubtful =
    newest && newest.type === 'full' && !newest.good && newest.state === 'complete_with_warnings'
      ? ' A newer backup is empty, or far smaller than that one.'
      : '';
  const proof = `Its newest good backup holds every store, and every byte of it was read back.${doubtful}`;
  if (hours > OLD_HOURS) {
    const days = Math.floor(hours / 24);
    return {
      grade: 'old',
      answer: `Only as it was ${days} days ago`,
      because: `No good backup is newer. ${proof}${broken}`,
    };
  }
  if (good.open_warnings > 0 || doubtful !== '') {
    const told =
      good.open_warnings === 0
        ? ''
        : ` It has ${good.open_warnings === 1 ? 'a warning' : `${good.open_warnings} warnings`}: something was not saved, or should be looked at.`;
    return { grade: 'warnings', answer: 'Yes, with warnings', because: proof + told + broken };
  }
  return { grade: 'yes', answer: 'Yes', because: proof + broken };
}
