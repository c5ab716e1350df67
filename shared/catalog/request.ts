import { z } from 'zod';
import { Id } from '../core/ids.ts';
import { StoreList } from '../core/store-name.ts';
import { Subset } from '../core/subset.ts';
import { Scopes } from '../stores/scopes.ts';
import { repeatedKey } from './tags.ts';

/** How long to keep a backup: a number of days (`30d`), a date, or forever. */
export const Retention = z.union([
  z.string().regex(/^[1-9][0-9]{0,4}d$/, 'days are written as "30d"'),
  z.iso.date(),
  z.literal('permanent'),
]);

/** Tag of the safety backups that restores take. Reserved: users cannot add or remove it. */
export const SAFETY_TAG = 'pre-restore';

const Tag = z.string().min(1).max(128);
const TAGS_MAX = 50;

/** Plain tags and pairs `key=value`. Each key has one value. */
const unambiguous = {
  error: ({ input }: { input?: unknown }) =>
    `key "${repeatedKey(Array.isArray(input) ? input.map(String) : [])}" has several values`,
};
const Tags = z
  .array(Tag)
  .max(TAGS_MAX)
  .refine((tags) => repeatedKey(tags) === undefined, unambiguous);

/** Tags that users may give to a backup. */
export const OwnTags = z
  .array(
    Tag.refine((tag) => tag !== SAFETY_TAG, {
      error: `"${SAFETY_TAG}" is reserved for the safety backups of restores`,
    }),
  )
  .max(TAGS_MAX)
  .refine((tags) => repeatedKey(tags) === undefined, unambiguous);

/** In the request of a schedule: its name, its creator, and the planned time of this run. */
export const ScheduledRunOf = z.strictObject({
  name: Id,
  /** Absent for a manual run. */
  scheduled_at: z.iso.datetime().optional(),
  made_by: z.string().max(200).optional(),
});
export type ScheduledRunOf = z.infer<typeof ScheduledRunOf>;

/** Input of the backup workflow, as for `aws stepfunctions start-execution --input`. `{}` is a full backup. */
export const BackupRequest = z.strictObject({
  /** The configured target. Optional if there is only one, or one named `default`. */
  target: Id.optional(),
  /** A backup is `full` without `stores` and `only`, and `partial` with them. If given, the type must match. */
  type: z.enum(['full', 'partial']).optional(),
  /** The stores. Default: all. Any selection makes the backup `partial`. */
  stores: StoreList.min(1).optional(),
  /**
   * Only this subset of the target; makes the backup `partial`. Without `stores`, only the stores that it mentions are
   * saved. Everything that it names must exist.
   */
  only: Subset.optional(),
  /** Plain tags, and pairs `key=value`; each key has one value. */
  tags: Tags.default([]),
  note: z.string().max(1000).optional(),
  retention: Retention.optional(),
  codec: z.enum(['gzip', 'zstd']).default('gzip'),
  /** Compression level: 1 to 9 for gzip, 1 to 19 for zstd. Default: the level in docs/format.md. */
  level: z.number().int().min(1).max(19).optional(),
  /** Reads every store, even if it provably did not change since an earlier backup. */
  full: z.boolean().optional(),
  /** Set by a restore for its safety backup, which runs under the restore's lock. */
  part_of: z
    .strictObject({
      job_id: Id,
      execution_arn: z.string(),
      /** The scopes that the restore will write to, if they differ from the configuration. */
      scopes: Scopes.optional(),
    })
    .optional(),
  /** Set by a schedule. */
  schedule: ScheduledRunOf.optional(),
  /** The recorded requester: a person, the name of a key, or `schedule`. */
  requested_by: z.string().max(200).optional(),
});
export type BackupRequest = z.infer<typeof BackupRequest>;
