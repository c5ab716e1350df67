import { z } from 'zod';
import { Id } from '../core/ids.ts';
import { STORE_NAMES } from '../core/store-names.ts';
import { Subset } from '../core/subset.ts';
import { Scopes } from '../stores/scopes.ts';
import { repeatedKey } from './tags.ts';

/** How long to keep a backup: a number of days (`30d`), a date, or forever. */
export const Retention = z.union([
  z.string().regex(/^[1-9][0-9]{0,4}d$/, 'days are written as "30d"'),
  z.iso.date(),
  z.literal('permanent'),
]);

/** Tag of the safety backups that restores take. Reserved: no request and no change may add or remove it. */
export const SAFETY_TAG = 'pre-restore';

const Tag = z.string().min(1).max(128);
const TAGS_MAX = 50;

/** Plain tags and pairs `key=value`. A key has one value. */
const unambiguous = {
  error: ({ input }: { input?: unknown }) =>
    `key "${repeatedKey(Array.isArray(input) ? input.map(String) : [])}" has several values`,
};
const Tags = z
  .array(Tag)
  .max(TAGS_MAX)
  .refine((tags) => repeatedKey(tags) === undefined, unambiguous);

/** Tags that a person may give to a backup. */
export const OwnTags = z
  .array(
    Tag.refine((tag) => tag !== SAFETY_TAG, {
      error: `"${SAFETY_TAG}" is reserved for the safety backups of restores`,
    }),
  )
  .max(TAGS_MAX)
  .refine((tags) => repeatedKey(tags) === undefined, unambiguous);

/** Input of the backup workflow: what `aws stepfunctions start-execution --input` takes. `{}` is a full backup. */
export const BackupRequest = z.strictObject({
  /** Which configured target; may be left out where there is only one, or one called `default`. */
  target: Id.optional(),
  /** `full` is what it is without `stores` and `only`, `partial` with them: whoever says it is held to it. */
  type: z.enum(['full', 'partial']).optional(),
  /** Which stores; left out: all. Any subset makes the backup `partial`. */
  stores: z.array(z.enum(STORE_NAMES)).min(1).optional(),
  /**
   * Only this part of the target; makes the backup `partial`. Without `stores`, only stores that it names something of
   * are saved. Whatever it names must be there.
   */
  only: Subset.optional(),
  /** Plain tags, and pairs `key=value`; each key has one value. */
  tags: Tags.default([]),
  note: z.string().max(1000).optional(),
  retention: Retention.optional(),
  codec: z.enum(['gzip', 'zstd']).default('gzip'),
  /** How hard to compress: 1 to 9 for gzip, 1 to 19 for zstd. Left out: the level that docs/format.md chose. */
  level: z.number().int().min(1).max(19).optional(),
  /** Set by a restore that saves its target: the backup runs under the restore's lock. */
  part_of: z
    .strictObject({
      job_id: Id,
      execution_arn: z.string(),
      /** What exactly is about to be touched, where it is not what the configuration says. */
      scopes: Scopes.optional(),
    })
    .optional(),
  /** Set by a schedule: its name, who made it, and the time that this run was planned for. */
  schedule: z
    .strictObject({
      name: Id,
      scheduled_at: z.iso.datetime().optional(),
      made_by: z.string().max(200).optional(),
    })
    .optional(),
  /** Who asked, for the records: a person, a key's name, `schedule`. */
  requested_by: z.string().max(200).optional(),
});
export type BackupRequest = z.infer<typeof BackupRequest>;
