/** Verdicts on whether a target is recoverable, best first. */
export const GRADE_NAMES = ['yes', 'yes_with_warnings', 'no'] as const;
