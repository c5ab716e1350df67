/** The state of a copy in the catalog record of its backup. Pure functions, except for the update itself. */
import type { Bucket } from '../../aws/bucket.ts';
import { catalogKey } from '../../aws/keys.ts';
import { CatalogRecord } from '../../catalog/record.ts';
import { SAFETY_TAG } from '../../catalog/request.ts';
import type { NgbakConfig } from '../../core/config.ts';
import { type BackupCopy, type CopyConfig, copiesOf } from '../../core/copies.ts';
import { backoff } from '../../core/retry.ts';

const DAY_MS = 24 * 60 * 60 * 1000;
/** Delays between attempts, in milliseconds: half of these at least. */
const RETRIES = { firstMs: 15 * 60 * 1000, longestMs: DAY_MS };
/** Length limit of a problem in the record. */
const PROBLEM_MAX = 1000;

/** A copy that has not been made yet. */
export function pendingCopy(name: string, copy: CopyConfig, now: Date): BackupCopy {
  const { bucket, prefix, region, read_role_arn, storage_class } = copy;
  return {
    name,
    bucket,
    ...(prefix === undefined ? {} : { prefix }),
    ...(region === undefined ? {} : { region }),
    ...(read_role_arn === undefined ? {} : { read_role_arn }),
    storage_class,
    state: 'pending',
    at: now.toISOString(),
  };
}

/**
 * The copies that a new backup will get. None for the safety backup of a restore, which holds the data that the restore
 * was meant to replace.
 */
export function plannedCopies(
  config: Pick<NgbakConfig, 'copies'>,
  { target, tags }: Pick<CatalogRecord, 'target' | 'tags'>,
  now: Date,
): BackupCopy[] {
  if (tags.includes(SAFETY_TAG)) return [];
  return copiesOf(config.copies, target).map(([name, copy]) => pendingCopy(name, copy, now));
}

/** Whether an attempt to make a copy should start now. A damaged copy is left for an operator: S3 refuses to overwrite it. */
export function isDue(
  { state, next_attempt_at }: Pick<BackupCopy, 'state' | 'next_attempt_at'>,
  now: number,
) {
  return state === 'pending' || (state === 'failed' && !(Date.parse(next_attempt_at ?? '') > now));
}

/** The copy after a failed attempt. The next attempt continues its upload, unless `restart`. */
export function failedCopy(
  { upload_id, ...copy }: BackupCopy,
  problem: string,
  now: Date,
  { restart = false, random }: { restart?: boolean; random?: () => number } = {},
): BackupCopy {
  const attempts = (copy.attempts ?? 0) + 1;
  return {
    ...copy,
    state: 'failed',
    at: now.toISOString(),
    problem: problem.length > PROBLEM_MAX ? `${problem.slice(0, PROBLEM_MAX - 1)}…` : problem,
    attempts,
    next_attempt_at: new Date(now.getTime() + backoff(attempts, RETRIES, random)).toISOString(),
    ...(upload_id === undefined || restart ? {} : { upload_id }),
  };
}

/** The archive as S3 created it in the bucket of a copy. */
export interface CopiedArchive {
  readonly bytes: number;
  /** Full-object CRC-32, base64. */
  readonly crc32: string;
  readonly version_id?: string | undefined;
}

/** The copy once its record exists as well. */
export function completeCopy(
  { upload_id: _, problem: __, next_attempt_at: ___, ...copy }: BackupCopy,
  { bytes, crc32, version_id }: CopiedArchive,
  { keep_days }: Pick<CopyConfig, 'keep_days'>,
  now: Date,
): BackupCopy {
  return {
    ...copy,
    state: 'complete',
    at: now.toISOString(),
    bytes,
    crc32,
    ...(version_id === undefined ? {} : { version_id }),
    ...(keep_days === undefined
      ? {}
      : { expires_at: new Date(now.getTime() + keep_days * DAY_MS).toISOString() }),
  };
}

/**
 * Changes the state of a copy in the catalog record of its backup, by compare and swap. `change` receives undefined if
 * the record does not mention the copy, and returns undefined to change nothing. Returns the copy afterwards; undefined
 * if the backup was deleted.
 */
export async function updateCopy(
  bucket: Bucket,
  backupId: string,
  name: string,
  change: (copy: BackupCopy | undefined) => BackupCopy | undefined,
): Promise<BackupCopy | undefined> {
  const updated = await bucket.updateRecord(catalogKey(backupId), CatalogRecord, (record) => {
    if (record === undefined) return undefined;
    const { copies = [] } = record;
    const changed = change(copies.find((copy) => copy.name === name));
    if (changed === undefined) return undefined;
    return { ...record, copies: [...copies.filter((copy) => copy.name !== name), changed] };
  });
  return updated?.copies?.find((copy) => copy.name === name);
}
