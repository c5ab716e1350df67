import { z } from 'zod';
import type { Bucket } from '../aws/bucket.ts';
import { archiveKey, BACKUPS, catalogKey } from '../aws/keys.ts';
import { coldArchive, coldPlaceOf, regionOf, thawOffers, thawStateOf } from '../catalog/archive-storage.ts';
import { headArchive } from '../catalog/head-archive.ts';
import { thawArchive } from '../catalog/thaw.ts';
import { CatalogRecord } from '../catalog/record.ts';
import { BackupSummary, summarize } from '../catalog/summaries.ts';
import { describeError, IntegrityError, InvalidInputError, NgbakError } from '../core/errors.ts';
import { Id } from '../core/ids.ts';
import { mapOrdered } from '../core/ordered.ts';
import { NotFoundError } from '../core/refusals.ts';
import type { ThawRequest } from '../core/storage-class.ts';
import type { OperationsContext } from './context.ts';
import { importArchive } from './import-archive.ts';
import { describeArchive, rebuildCatalog } from './rebuild-catalog.ts';

/** Archives of the other bucket that are described at once. */
const READS_AT_ONCE = 16;

/** An archive in the bucket of a copy. */
export const FoundArchive = z.object({
  backup_id: z.string(),
  /** Size of the archive in bytes. */
  bytes: z.number(),
  /**
   * Where the description is from: the record beside the archive, which a backup wrote after it verified the archive; or
   * the archive, of which nothing is verified yet.
   */
  described_by: z.enum(['record', 'archive']).optional(),
  summary: BackupSummary.pick({
    target: true,
    type: true,
    stores: true,
    created_at: true,
    records: true,
    state: true,
    good: true,
    tags: true,
    storage_class: true,
  }).optional(),
  /** Why it cannot be described, as text. */
  problem: z.string().optional(),
});
export type FoundArchive = z.infer<typeof FoundArchive>;

/** Which archives are recovered. */
export interface Selection {
  readonly backups?: readonly string[] | undefined;
  /** The newest good backup of each of these targets; all of their backups with `all`. */
  readonly targets?: readonly string[] | undefined;
  readonly all?: boolean | undefined;
}

export const Recovered = z.object({
  /** Backups that are in the catalog of the deployment now. */
  recovered: z.array(z.string()),
  /** Backups that were in the catalog before. */
  present: z.array(z.string()),
  /** Archives that could not be recovered, with the reason. `damaged`: they are not what a backup recorded. */
  problems: z.array(
    z.object({ backup_id: z.string(), kind: z.enum(['damaged', 'failed']), problem: z.string() }),
  ),
  /** Bytes of the recovered archives that were copied. */
  bytes: z.number(),
});
export type Recovered = z.infer<typeof Recovered>;

/** The archives in the bucket of a copy, newest first. Reads the record of each, or its manifest without one. */
export async function findArchives(source: Bucket): Promise<FoundArchive[]> {
  const archives: { id: string; bytes: number }[] = [];
  const records = new Set<string>();
  for await (const { key, size } of source.keys(BACKUPS)) {
    const [, id = '', ending] = /^([^/]+)\.(ngbak|json)$/.exec(key.slice(BACKUPS.length)) ?? [];
    if (!Id.safeParse(id).success) continue;
    if (ending === 'json') records.add(id);
    else archives.push({ id, bytes: size });
  }
  const found: FoundArchive[] = [];
  const described = mapOrdered(archives, READS_AT_ONCE, ({ id, bytes }) =>
    describe(source, { id, bytes, hasRecord: records.has(id) }),
  );
  for await (const archive of described) found.push(archive);
  const time = ({ backup_id, summary }: FoundArchive) => `${summary?.created_at ?? ''} ${backup_id}`;
  return found.sort((a, b) => (time(a) < time(b) ? 1 : -1));
}

async function describe(
  source: Bucket,
  { id, bytes, hasRecord }: { readonly id: string; readonly bytes: number; readonly hasRecord: boolean },
): Promise<FoundArchive> {
  try {
    const record = hasRecord ? await readRecord(source, id) : undefined;
    const described = record ?? (await describeArchive(source, id));
    // Acknowledgements of warnings are not part of a copy.
    const summary = summarize(described, { find: () => undefined }, source.place);
    return { backup_id: id, bytes, described_by: record ? 'record' : 'archive', summary };
  } catch (error) {
    // One archive that cannot be read must not hide the others.
    if (!(error instanceof NgbakError) || error.retryable) throw error;
    return { backup_id: id, bytes, problem: describeError(error) };
  }
}

/** The record beside an archive. Undefined if it is not a record of this backup. */
async function readRecord(source: Bucket, id: string): Promise<CatalogRecord | undefined> {
  try {
    const record = (await source.readRecord(catalogKey(id), CatalogRecord))?.value;
    return record?.backup_id === id ? record : undefined;
  } catch (error) {
    if (!(error instanceof InvalidInputError)) throw error;
    return undefined;
  }
}

export interface RecoveryOptions {
  /** Reads the bucket of the copy. */
  readonly source: Bucket;
  /** The bytes pass through this machine, because no credentials can read the copy and write the new bucket. */
  readonly streamed: boolean;
  readonly signal?: AbortSignal | undefined;
  /** Returns once the archive of a backup can be read. Without it, archives in cold storage are not recovered. */
  readonly thaw?: ((backupId: string) => Promise<unknown>) | undefined;
  /** `copy`: the archive is copied. `verify`: every byte of it is read back. */
  progress?(phase: 'copy' | 'verify', backupId: string, done: number, total: number): void;
}

/**
 * Copies archives from the bucket of a copy into that of this deployment, verifies every byte of them, and adds them to
 * the catalog. What a record beside a copy states is used for choosing archives only: the catalog is rebuilt from the
 * archives alone. Can be interrupted and repeated at any time. If the newest good backup of a target is not intact, the
 * one before it is recovered as well. Throws NotFoundError if a selection finds nothing.
 */
export async function recover(
  context: OperationsContext,
  found: readonly FoundArchive[],
  selection: Selection,
  options: RecoveryOptions,
): Promise<Recovered> {
  const result: Recovered = { recovered: [], present: [], problems: [], bytes: 0 };
  for (const candidates of choose(found, selection, options.source)) {
    for (const archive of candidates) {
      options.signal?.throwIfAborted();
      if (await recoverOne(context, archive, options, result)) break;
    }
  }
  return result;
}

/** Returns whether the backup is in the catalog. */
async function recoverOne(
  context: OperationsContext,
  { backup_id, bytes }: FoundArchive,
  { source, streamed, signal, thaw, progress }: RecoveryOptions,
  result: Recovered,
): Promise<boolean> {
  try {
    await (thaw ? thaw(backup_id) : requireThawed(source, backup_id));
    const copied = await importArchive({
      source,
      destination: context.bucket,
      backupId: backup_id,
      streamed,
      signal,
      progress: (done, total) => progress?.('copy', backup_id, done, total),
    });
    const { rebuilt, problems } = await rebuildCatalog(context, {
      backupId: backup_id,
      signal,
      verified: (done, total) => progress?.('verify', backup_id, done, total),
    });
    result.problems.push(...problems.map((problem) => ({ ...problem, kind: 'damaged' as const })));
    if (problems.length > 0) return false;
    if (copied) result.bytes += bytes;
    (rebuilt.length > 0 ? result.recovered : result.present).push(backup_id);
    return true;
  } catch (error) {
    if (!(error instanceof NgbakError) || error.retryable) throw error;
    const kind = error instanceof IntegrityError ? 'damaged' : 'failed';
    result.problems.push({ backup_id, kind, problem: describeError(error) });
    return false;
  }
}

/** Requests that an archive in the bucket of a copy be thawed, if it is in cold storage. Idempotent. */
export async function thawCopy(source: Bucket, backup_id: string, request: ThawRequest) {
  const { state, place } = await thawArchive(source, { key: archiveKey(backup_id) }, request);
  return { backup_id, storage_class: place ?? 'STANDARD', readable: state !== 'cold' && state !== 'thawing' };
}

/** Throws ObjectArchivedError, which states what to do, if an archive has to be thawed first. */
async function requireThawed(source: Bucket, backupId: string): Promise<void> {
  const head = await headArchive(source, { archive: { key: archiveKey(backupId) } });
  const place = head && coldPlaceOf(head);
  if (!head || place === undefined || thawStateOf(head).state === 'thawed') return;
  const offers = thawOffers(place, head.ContentLength ?? 0, await regionOf(source));
  throw coldArchive(
    `${backupId}, copy in s3://${source.place},`,
    place,
    offers,
    'Repeat the command with --thaw.',
  );
}

/** What to recover: of each list, the first archive that is intact. */
function choose(
  found: readonly FoundArchive[],
  { backups = [], targets = [], all = false }: Selection,
  source: Bucket,
): FoundArchive[][] {
  const byId = new Map(found.map((archive) => [archive.backup_id, archive]));
  const named = [...new Set(backups)].map((id) => {
    const archive = byId.get(id);
    if (archive) return [archive];
    throw new NotFoundError(`There is no archive of ${id} in s3://${source.place}.`, {
      remedy: 'List the archives with `ngbak recover` without a selection.',
    });
  });
  if (all) {
    const chosen = found.filter(
      ({ summary }) => targets.length === 0 || targets.includes(summary?.target ?? ''),
    );
    if (chosen.length === 0) throw nothing(targets, source);
    return [...named, ...chosen.map((archive) => [archive])];
  }
  return [
    ...named,
    ...targets.map((target) => {
      const good = found.filter(
        ({ summary }) => summary?.target === target && summary.type === 'full' && summary.good,
      );
      if (good.length === 0) throw nothing([target], source);
      return good;
    }),
  ];
}

function nothing(targets: readonly string[], source: Bucket): NotFoundError {
  const of = targets.length === 0 ? '' : ` of ${targets.map((target) => `"${target}"`).join(', ')}`;
  return new NotFoundError(`There is no good backup${of} in s3://${source.place}.`, {
    remedy:
      'List the archives with `ngbak recover` without a selection, and choose one with --backup; or use another copy.',
  });
}

/** The newest good full backup of each target, by name. */
export function newestGoodOf(found: readonly FoundArchive[]): Map<string, string> {
  const newest = new Map<string, string>();
  for (const { backup_id, summary } of found) {
    if (summary?.good && summary.type === 'full' && !newest.has(summary.target)) {
      newest.set(summary.target, backup_id);
    }
  }
  return newest;
}
