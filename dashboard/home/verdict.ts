import type { Overview } from '../../shared/operations/overview.ts';

const HOUR_MS = 3_600_000;

/** The answer to the one question: could this target be restored right now? */
export interface Verdict {
  readonly grade: 'yes' | 'warnings' | 'old' | 'no';
  readonly answer: string;
  /** Why, in one or two sentences. */
  readonly because: string;
}

type Target = Overview['targets'][number];

/** @param now  milliseconds since 1970 */
export function verdictOf(
  { newest, newest_good: good, damaged, allowed_age_hours }: Target,
  now: number,
): Verdict {
  const broken =
    damaged === 0 ? '' : ` ${damaged === 1 ? 'One backup is' : `${damaged} backups are`} damaged.`;
  if (!good) {
    const because = newest
      ? 'No backup is verified, contains all stores, and has the expected number of records.'
      : 'There are no backups of this target.';
    return { grade: 'no', answer: 'No', because: because + broken };
  }
  const hours = (now - Date.parse(good.created_at)) / HOUR_MS;
  const caveat =
    newest && newest.type === 'full' && !newest.good && newest.state === 'complete_with_warnings'
      ? ' A newer backup is empty or much smaller.'
      : '';
  const proof = `The latest good backup contains all stores and is verified.${caveat}`;
  if (hours > allowed_age_hours) {
    const days = Math.floor(hours / 24);
    return {
      grade: 'old',
      answer: `Only as of ${days} days ago`,
      because: `${proof}${broken}`,
    };
  }
  if (good.open_warnings > 0 || caveat !== '') {
    const warningText =
      good.open_warnings === 0
        ? ''
        : ` It has ${good.open_warnings === 1 ? 'a warning' : `${good.open_warnings} warnings`}: something was not saved or needs attention.`;
    return { grade: 'warnings', answer: 'Yes, with warnings', because: proof + warningText + broken };
  }
  return { grade: 'yes', answer: 'Yes', because: proof + broken };
}
