import { isDeepStrictEqual } from 'node:util';
import { HeadObjectCommand } from '@aws-sdk/client-s3';
import type { Manifest } from '../../archive/format/manifest.ts';
import type { ByteSource } from '../../archive/format/types.ts';
import type { OpenedArchive } from '../../archive/read/open.ts';
import { type ArchiveRegions, describeRegions, type GroupRegion } from '../../archive/read/regions.ts';
import type { Bucket } from '../../aws/bucket.ts';
import { sendS3 } from '../../aws/send-s3.ts';
import type { ReadRegion, ReadRegions } from '../../catalog/read-region.ts';
import type { BackupWarning } from '../../catalog/warnings.ts';
import { crc32Base64 } from '../../core/crc32.ts';
import { hasRole, roleOf, type StoreName } from '../../core/store-names.ts';
import type { Reference } from '../../profiles/profile.ts';
import type { ReferenceCount } from '../../profiles/reference-count.ts';
import { nameOfReference, referencesOf } from '../../profiles/references.ts';
import { storeOf } from '../../stores/check-archive.ts';
import type { Environment } from '../environment.ts';
import type { CarriedStore } from './carry.ts';
import type { BackupPlan } from './plan.ts';
import type { Sealed } from './seal.ts';

/** What the index of a sealed archive states. */
export interface SealedArchive {
  readonly manifest: Manifest;
  readonly regions: ArchiveRegions<StoreName>;
}

/** Reads the index of a sealed archive. Throws IntegrityError if it is damaged. */
export async function describeSealed(source: ByteSource, archive: OpenedArchive): Promise<SealedArchive> {
  return { manifest: archive.manifest, regions: await describeRegions(source, archive, storeOf) };
}

/**
 * The stores of a sealed archive whose data need not be read, because S3 proves that it is what an earlier verification
 * read: the data was copied within S3, the CRC-32 that S3 states for the whole archive is the one that follows from its
 * index and footer, and there, the data of the store has the length, the entries and the CRC-32 of what was read then.
 * The verification reads everything else and compares it with the index, so that only the copied data is left that the
 * checksum of S3 stands for. Every doubt means that a store is read; the reason is logged.
 */
export async function findUnread(
  environment: Pick<Environment, 'bucket' | 'config' | 'log'>,
  plan: BackupPlan,
  sealed: Sealed,
  { manifest, regions }: SealedArchive,
): Promise<StoreName[]> {
  const carried = carriedStores(plan);
  if (carried.size === 0) return [];
  const unread = new Set(carried.keys());
  const read = (store: StoreName, reason: string) => {
    if (unread.delete(store))
      environment.log('Carried data is read.', { job_id: plan.job_id, store, reason });
  };
  const problem = compareWhole(regions, await statedCrc32(environment.bucket, sealed));
  for (const [store, data] of carried) {
    const reason = problem ?? compareStore(data, regions.groups.get(store), manifest.tallies[store]);
    if (reason !== undefined) read(store, reason);
  }
  requireReferences(environment, plan, unread, read);
  return [...unread];
}

function carriedStores({ stores }: Pick<BackupPlan, 'stores'>): Map<StoreName, CarriedStore> {
  return new Map(stores.flatMap(({ store, carried }) => (carried ? [[store, carried] as const] : [])));
}

/** The CRC-32 of all bytes of the object, base64, if S3 states it. */
async function statedCrc32(
  { s3, name: Bucket }: Bucket,
  { key: Key, version_id }: Pick<Sealed, 'key' | 'version_id'>,
): Promise<string | undefined> {
  const version = version_id === undefined ? {} : { VersionId: version_id };
  const head = new HeadObjectCommand({ Bucket, Key, ...version, ChecksumMode: 'ENABLED' });
  const { ChecksumType, ChecksumCRC32 } = await sendS3(s3, 'look at', head);
  return ChecksumType === 'FULL_OBJECT' ? ChecksumCRC32 : undefined;
}

/** Why the checksum of the whole archive proves nothing; undefined if it does. */
function compareWhole({ crc32 }: ArchiveRegions<StoreName>, stated: string | undefined): string | undefined {
  if (stated === undefined) return 'S3 states no checksum of the whole archive';
  const expected = crc32Base64(crc32);
  return stated === expected ? undefined : `S3 states the CRC-32 ${stated}, and the index ${expected}`;
}

/** Why the data of a store in the archive may not be what was read; undefined if it is. */
function compareStore(
  { region, tallies }: CarriedStore,
  found: GroupRegion | undefined,
  counted: unknown,
): string | undefined {
  if (region === undefined) return 'the backup that it is carried from does not state what was read of it';
  if (found === undefined) return 'its entries are not in one place';
  const crc32 = crc32Base64(found.crc32);
  const { length, entries } = found;
  if (length !== region.bytes || entries !== region.entries || crc32 !== region.crc32) {
    return `it has ${entries} entries, ${length} bytes and the CRC-32 ${crc32}; ${region.entries}, ${region.bytes} and ${region.crc32} were read`;
  }
  if (found.index !== region.index) return 'the index states other entries than those that were read';
  return isDeepStrictEqual(counted, tallies)
    ? undefined
    : 'the manifest states other counts than the backup that it is carried from';
}

/**
 * References between stores are counted in the records of both. If one of them is read, so is the other. Otherwise, the
 * counts of the backup that all of them are carried from are still right.
 */
function requireReferences(
  { config }: Pick<Environment, 'config'>,
  plan: BackupPlan,
  unread: Set<StoreName>,
  read: (store: StoreName, reason: string) => void,
): void {
  if (!countsReferences(plan)) return;
  const references = referencesWithin(config, plan);
  for (let before = -1; before !== unread.size; ) {
    before = unread.size;
    for (const reference of references) {
      if (countedBefore(plan, reference, unread)) continue;
      for (const store of storesOf(plan, reference)) {
        read(store, `${nameOfReference(reference)} must be counted`);
      }
    }
  }
}

/** The references between stores of this backup. */
function referencesWithin(config: Environment['config'], plan: BackupPlan): Reference[] {
  const stores = plan.stores.map(({ store }) => store);
  return referencesOf(config, plan).filter(
    ({ from, to }) => hasRole(stores, from.store) && hasRole(stores, to.store),
  );
}

/** The stores of this backup that have records of a reference. */
function storesOf({ stores }: BackupPlan, reference: Reference): StoreName[] {
  return stores.map(({ store }) => store).filter((name) => isOf(reference, name));
}

/** The references of the backup from which all stores of a reference are carried; undefined if there is none. */
function countedBefore(
  plan: BackupPlan,
  reference: Reference,
  unread: ReadonlySet<StoreName>,
): CarriedStore['references'] {
  const names = storesOf(plan, reference);
  const carried = carriedStores(plan);
  const [first, ...others] = names.map((name) => carried.get(name));
  const { references } = first ?? {};
  const isCounted =
    plan.type === 'full' &&
    references !== undefined &&
    names.every((name) => unread.has(name)) &&
    others.every((store) => store?.from === first?.from) &&
    // The other backup had no further stores of these roles.
    references.stores.filter((name) => isOf(reference, name)).length === names.length;
  return isCounted ? references : undefined;
}

const isOf = ({ from, to }: Reference, name: StoreName) =>
  [from.store, to.store].some((role) => role === roleOf(name));

/** Whether the references of a backup are counted. Those of subsets are not: references to omitted records dangle. */
export function countsReferences({ request }: Pick<BackupPlan, 'request'>): boolean {
  return request.only === undefined;
}

/** The counts of references between stores that are not read, as an earlier backup has them. */
export function carriedReferences(
  { config }: Pick<Environment, 'config'>,
  plan: BackupPlan,
  unread: readonly StoreName[],
): ReferenceCount[] {
  if (!countsReferences(plan)) return [];
  return referencesWithin(config, plan).flatMap((reference) => {
    const name = nameOfReference(reference);
    const { counts = [] } = countedBefore(plan, reference, new Set(unread)) ?? {};
    return counts.filter((count) => count.reference === name && count.against === 'archive');
  });
}

/** What an earlier verification found in the records of the stores that are not read. */
export function carriedWarnings(plan: BackupPlan, unread: readonly StoreName[]): BackupWarning[] {
  const carried = carriedStores(plan);
  return unread.flatMap((store) => carried.get(store)?.region?.warnings ?? []);
}

/** What was read of each store of a verified archive: now, or by the earlier verification that stands for it. */
export function readRegions(
  plan: BackupPlan,
  { regions: { groups } }: SealedArchive,
  unread: readonly StoreName[],
  warnings: readonly BackupWarning[],
): ReadRegions {
  const carried = carriedStores(plan);
  const at = new Date().toISOString();
  const regions: ReadRegions = {};
  for (const [store, { length, entries, crc32, index }] of groups) {
    const earlier = unread.includes(store) ? carried.get(store)?.region : undefined;
    const found = warnings.filter((warning) => warning.store === store);
    const region: ReadRegion = {
      ...{ backup_id: plan.backup_id, at, bytes: length, entries, crc32: crc32Base64(crc32), index },
      ...(found.length === 0 ? {} : { warnings: found }),
    };
    regions[store] = earlier ?? region;
  }
  return regions;
}
