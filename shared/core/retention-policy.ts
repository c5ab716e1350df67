import { z } from 'zod';

/** Keeps older than this many are no use: 10 years of days. */
const KEEP_MAX = 3660;
const Keep = z.number().int().min(0).max(KEEP_MAX);

/** A policy with every rule said, as one that is set must be: nothing is changed by being left out. */
export const WholePolicy = z.strictObject({
  /** The newest so many. */
  keep_last: Keep,
  /** The newest backup of each of the newest so many days that have one; the same for weeks, months and years. */
  keep_daily: Keep,
  keep_weekly: Keep,
  keep_monthly: Keep,
  keep_yearly: Keep,
});

/** How many backups of each target a deployment keeps. Days, weeks (ISO 8601), months and years are UTC's. */
export const RetentionPolicy = WholePolicy.extend({
  keep_last: Keep.default(7),
  keep_daily: Keep.default(0),
  keep_weekly: Keep.default(0),
  keep_monthly: Keep.default(0),
  keep_yearly: Keep.default(0),
});
export type RetentionPolicy = z.infer<typeof RetentionPolicy>;
