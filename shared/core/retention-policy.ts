import { z } from 'zod';

/** Larger numbers have no use: 10 years of days. */
const KEEP_MAX = 3660;
const Keep = z.number().int().min(0).max(KEEP_MAX);

/** A policy with every rule present, as required when a policy is set: no rule is changed by omission. */
export const WholePolicy = z.strictObject({
  /** How many of the newest backups are kept. */
  keep_last: Keep,
  /**
   * For how many of the most recent days with a backup the newest one is kept; likewise for weeks, months and years.
   */
  keep_daily: Keep,
  keep_weekly: Keep,
  keep_monthly: Keep,
  keep_yearly: Keep,
});

/** How many backups of each target a deployment keeps. Days, weeks (ISO 8601), months and years are in UTC. */
export const RetentionPolicy = WholePolicy.extend({
  keep_last: Keep.default(7),
  keep_daily: Keep.default(0),
  keep_weekly: Keep.default(0),
  keep_monthly: Keep.default(0),
  keep_yearly: Keep.default(0),
});
export type RetentionPolicy = z.infer<typeof RetentionPolicy>;
