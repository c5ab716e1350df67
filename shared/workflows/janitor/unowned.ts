import type { Bucket } from '../../aws/bucket.ts';
import {
  archiveKey,
  BACKUPS,
  DEFERRED,
  deferredKey,
  STAGING,
  stagingPrefix,
  UPLOADS,
  uploadPrefix,
} from '../../aws/keys.ts';
import { abortMultipart, listParts, type MultipartUpload } from '../../aws/multipart.ts';
import { InvalidInputError } from '../../core/errors.ts';
import { Id } from '../../core/ids.ts';
import { hasEnded } from '../../core/job-state.ts';
import { unsettledJobs } from '../job/days.ts';
import { readJob } from '../job/record.ts';
import { findAdmitted } from '../restore/plan.ts';

/**
 * Age at which a leftover is removed, in milliseconds: long enough for any client to have started the job that uses it.
 */
export const UNOWNED_MS = 24 * 60 * 60 * 1000;

/** Number of removed leftovers. Every version of an object is counted. */
export interface Unowned {
  readonly objects: number;
  /** Unfinished multipart uploads. */
  readonly uploads: number;
}

/**
 * Removes what belongs to no running or waiting job: staging objects, uploaded archives, and unfinished multipart
 * uploads whose newest part is older than `ageMs`. Uploads under keys that ngbak does not use are left alone. Normally
 * the janitor removes these when a job ends; the remaining ones come from interrupted cleanups and from jobs that never
 * began. The lifecycle rules of the bucket are a second safeguard, after several days.
 */
export async function removeUnowned(
  bucket: Bucket,
  timeLeft: () => number,
  { ageMs = UNOWNED_MS }: { ageMs?: number | undefined } = {},
): Promise<Unowned> {
  const before = Date.now() - ageMs;
  const isOld = (time: Date | undefined) => time !== undefined && time.getTime() <= before;
  const staged = new Map<string, boolean>();
  for await (const { key, modified } of bucket.keys(STAGING)) {
    const folder = key.slice(0, key.indexOf('/', STAGING.length) + 1);
    staged.set(folder, (staged.get(folder) ?? true) && isOld(modified));
  }
  const folders = [...staged].filter(([, old]) => old).map(([folder]) => folder);
  const archives: string[] = [];
  for await (const { key, modified } of bucket.keys(UPLOADS)) if (isOld(modified)) archives.push(key);
  const uploads: MultipartUpload[] = [];
  for (const folder of [BACKUPS, DEFERRED, STAGING, UPLOADS]) {
    for await (const upload of bucket.uploads(folder)) if (isOld(upload.initiated)) uploads.push(upload);
  }
  if (folders.length + archives.length + uploads.length === 0) return { objects: 0, uploads: 0 };
  // Read after the leftovers were listed: a job that begins now cannot own one of them.
  const inIndex = await ownedKeys(bucket);
  const isOwned = async (key: string) => inIndex(key) || (await belongsToOpenJob(bucket, key));
  const removed = { objects: 0, uploads: 0 };
  for (const folder of folders) {
    if (timeLeft() <= 0) return removed;
    if (folder !== STAGING && !(await isOwned(folder))) removed.objects += await bucket.removeAll(folder);
  }
  for (const key of archives) {
    if (timeLeft() <= 0) return removed;
    if (await isOwned(key)) continue;
    // Version by version, because other archives may have names with this prefix.
    for await (const { versionId } of bucket.versions(key)) {
      await bucket.removeVersion({ key, version_id: versionId });
      removed.objects++;
    }
  }
  for (const upload of uploads) {
    if (timeLeft() <= 0) return removed;
    if ((await isOwned(upload.key)) || !isOld(await newestPart(upload))) continue;
    await abortMultipart(upload);
    removed.uploads++;
  }
  return removed;
}

/** A predicate for keys that belong to a job that has not ended. */
async function ownedKeys(bucket: Bucket): Promise<(key: string) => boolean> {
  const prefixes = new Set<string>();
  for await (const id of unsettledJobs(bucket)) {
    const job = await readJob(bucket, id).catch(ifUnreadable);
    if (job === undefined || (job !== 'unreadable' && hasEnded(job.state))) continue;
    for (const prefix of [stagingPrefix(id), uploadPrefix(id), deferredKey(id)]) prefixes.add(prefix);
    if (job === 'unreadable') continue;
    if (job.backup_id !== undefined) prefixes.add(archiveKey(job.backup_id));
    if (job.kind !== 'restore') continue;
    const restore = await findAdmitted(bucket, id).catch(ifUnreadable);
    if (restore === 'unreadable') prefixes.add(UPLOADS);
    else if (restore) prefixes.add(restore.source.key);
  }
  return (key) => [...prefixes].some((prefix) => key.startsWith(prefix));
}

/**
 * Whether the second segment of a key is a job that has not ended. Needed for jobs that have run for longer than index
 * entries live.
 */
async function belongsToOpenJob(bucket: Bucket, key: string): Promise<boolean> {
  const [, id = ''] = key.split('/');
  if (!Id.safeParse(id).success) return false;
  const job = await readJob(bucket, id).catch(ifUnreadable);
  return job === 'unreadable' || (job !== undefined && !hasEnded(job.state));
}

/** A record that cannot be read is assumed to belong to a running job. */
function ifUnreadable(error: unknown): 'unreadable' {
  if (error instanceof InvalidInputError) return 'unreadable';
  throw error;
}

/**
 * The time of the newest part of an upload, or the epoch if it has no parts. Undefined if the upload no longer exists.
 */
async function newestPart(upload: MultipartUpload): Promise<Date | undefined> {
  const parts = await listParts(upload);
  if (!parts) return undefined;
  const times = [...parts.values()].map(({ modified }) => modified?.getTime() ?? 0);
  return new Date(Math.max(0, ...times));
}
