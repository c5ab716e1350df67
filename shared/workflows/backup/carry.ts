import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { HeadObjectCommand } from '@aws-sdk/client-s3';
import { z } from 'zod';
import { FORMAT_VERSION, type Manifest } from '../../archive/format/manifest.ts';
import type { ByteSource } from '../../archive/format/types.ts';
import { type OpenedArchive, openArchive, readManifestBytes } from '../../archive/read/open.ts';
import { objectSource } from '../../archive/read/sources.ts';
import { carryEntries, findRegion } from '../../archive/write/carry.ts';
import { SourceObject } from '../../archive/write/segment-store.ts';
import { addressOf } from '../../aws/address.ts';
import { segmentsPrefix } from '../../aws/keys.ts';
import { sendS3 } from '../../aws/send-s3.ts';
import { catalogIds, readCatalog } from '../../catalog/read.ts';
import { ReadRegion } from '../../catalog/read-region.ts';
import { type CatalogRecord, TalliesRecord } from '../../catalog/record.ts';
import type { BackupRequest } from '../../catalog/request.ts';
import {
  checkSignatures,
  knowsKeys,
  recordedSignature,
  type SignatureKeys,
} from '../../catalog/signature.ts';
import { summarize } from '../../catalog/summaries.ts';
import { readAcknowledged } from '../../catalog/warnings.ts';
import { findTarget } from '../../core/config.ts';
import { IntegrityError, NgbakError } from '../../core/errors.ts';
import { Id } from '../../core/ids.ts';
import type { Reading } from '../../core/reading.ts';
import { StoreList } from '../../core/store-name.ts';
import type { StoreName } from '../../core/store-names.ts';
import { VERSION } from '../../core/version.ts';
import { ReferenceCount } from '../../profiles/reference-count.ts';
import { storeOf } from '../../stores/check-archive.ts';
import { FoundMark } from '../../stores/marks.ts';
import { describeChanges, type StoreProof } from '../../stores/proof.ts';
import type { Scopes } from '../../stores/scopes.ts';
import { StoreWarning } from '../../stores/warning.ts';
import type { Environment, LegLimits } from '../environment.ts';

/** Number of earlier good backups among which one with the same settings is looked for. */
const CANDIDATES_MAX = 5;
const DAY_MS = 24 * 60 * 60 * 1000;

/** The data of a store in an earlier archive, from where it is carried into the new one. */
export const CarriedStore = z.object({
  /** The backup of that archive. */
  from: Id,
  object: SourceObject,
  offset: z.int().nonnegative(),
  length: z.int().positive(),
  entries: z.int().positive(),
  tallies: TalliesRecord,
  /** What an earlier verification read. Absent if the record of that backup does not state it. */
  region: ReadRegion.optional(),
  /** The references of that backup, and the stores in which they were counted. Absent if these are not all stores. */
  references: z.object({ stores: StoreList, counts: z.array(ReferenceCount) }).optional(),
});
export type CarriedStore = z.infer<typeof CarriedStore>;

/** The backup whose stores may be carried. */
export interface CarryingBackup {
  readonly backup_id: string;
  readonly created_at: string;
  readonly target: string;
  readonly request: BackupRequest;
  readonly scopes: Scopes;
}

/** A store in the plan of a backup. */
interface PlannedStore {
  readonly store: StoreName;
  readonly carried?: CarriedStore | undefined;
  readonly shards: readonly unknown[];
}

/** What is decided for one store. */
export interface CarryDecision {
  /** See {@link basisOf}. */
  readonly basis: string;
  readonly reading: Reading;
  readonly carried?: {
    readonly store: CarriedStore;
    readonly backend: NonNullable<Manifest['storage_backends'][StoreName]>;
    /** What was found of the version of the system. */
    readonly marks: FoundMark[];
    /** The warnings of the reading. */
    readonly warnings: StoreWarning[];
  };
}

/** A backup whose archive data might be carried from. */
interface Predecessor {
  readonly record: CatalogRecord;
  readonly object: SourceObject;
  readonly source: ByteSource;
  readonly archive: OpenedArchive;
}

/**
 * A digest of everything that determines how the data of a store is written. Data is only carried between backups
 * with the same one.
 */
function basisOf(
  { config }: Pick<Environment, 'config'>,
  name: StoreName,
  { target, request, scopes }: CarryingBackup,
): string {
  const { profile, parameters, stores } = findTarget(config, target);
  const { kind } = (name === 'config' ? undefined : stores[name]) ?? {};
  const { codec, level = null } = request;
  const basis = { format: FORMAT_VERSION, ngbak: VERSION, profile, parameters, kind, codec, level };
  return createHash('sha256')
    .update(JSON.stringify({ ...basis, scope: scopes[name] ?? null }))
    .digest('hex');
}

/**
 * Decides for each store of a backup whether it is read, or carried from an earlier archive because it provably did
 * not change. Every doubt means that it is read; the reason is recorded.
 */
export class Carrier {
  readonly #environment: Environment;
  readonly #backup: CarryingBackup;
  readonly #keys: SignatureKeys;
  #candidates: Promise<CatalogRecord[]> | undefined;
  readonly #opened = new Map<string, Promise<Predecessor>>();

  constructor(environment: Environment, backup: CarryingBackup, keys: SignatureKeys) {
    this.#environment = environment;
    this.#backup = backup;
    this.#keys = keys;
  }

  /** Whether any store of this backup may be carried. If not, the reason. */
  get refusal(): string | undefined {
    const { request, target } = this.#backup;
    if (request.part_of) return 'safety backups read everything';
    if (request.full) return 'a full reading was requested';
    const { every_backups } = findTarget(this.#environment.config, target).full_reading;
    return every_backups === 1 ? 'every backup of this target reads everything' : undefined;
  }

  /** @param proof undefined if the backend has none */
  async decide(name: StoreName, proof: StoreProof | undefined): Promise<CarryDecision> {
    const { backup_id, created_at } = this.#backup;
    const basis = basisOf(this.#environment, name, this.#backup);
    const read = (reason: string): CarryDecision => ({
      basis,
      reading: { backup_id, at: created_at, carried: 0, reason },
    });
    if (this.refusal !== undefined) return read(this.refusal);
    if (proof === undefined) return read('its backend has no proof that nothing changed');
    if (proof.values === undefined) return read(proof.reason);
    try {
      return await this.#carry(name, basis, proof.values, read);
    } catch (error) {
      // An earlier archive that cannot be used must not prevent a backup: the store itself is there.
      if (!(error instanceof NgbakError) || error.retryable) throw error;
      return read(`an earlier backup cannot be used: ${error.message}`);
    }
  }

  async #carry(
    name: StoreName,
    basis: string,
    proof: Readonly<Record<string, string>>,
    read: (reason: string) => CarryDecision,
  ): Promise<CarryDecision> {
    const found = await this.#find(name, basis);
    if (!found) return read('no earlier good backup of it has the same settings');
    const { predecessor, reading } = found;
    const { backup_id: from, tallies, regions, references, stores, type } = predecessor.record;
    const base = reading.proof;
    if (base === undefined) return read(`it changed during ${from}, or had no proof then`);
    const changes = describeChanges(base, proof);
    if (changes.length > 0) return read(`since ${from}, ${changes.join('; ')}`);
    const { every_backups, every_days } = findTarget(
      this.#environment.config,
      this.#backup.target,
    ).full_reading;
    const carried = reading.carried + 1;
    if (carried >= every_backups) return read(`every ${every_backups} backups read it`);
    if (Date.parse(this.#backup.created_at) - Date.parse(reading.at) >= every_days * DAY_MS) {
      return read(`it was last read ${every_days} days ago or earlier`);
    }
    const region = await findRegion(
      predecessor.source,
      predecessor.archive,
      (entry) => storeOf(entry) === name,
    );
    const counted = tallies[name];
    const backend = predecessor.archive.manifest.storage_backends[name];
    const { system_evidence: evidence } = predecessor.archive.manifest;
    if (!region || !counted || !backend) return read(`it is empty in ${from}`);
    return {
      basis,
      reading: { backup_id: reading.backup_id, at: reading.at, carried, from },
      carried: {
        store: {
          ...{ from, object: predecessor.object, ...region, tallies: counted },
          ...(regions?.[name] === undefined ? {} : { region: regions[name] }),
          ...(references === undefined || type !== 'full'
            ? {}
            : { references: { stores, counts: references } }),
        },
        backend,
        marks: z
          .array(FoundMark)
          .catch([])
          .parse(evidence?.marks.filter(({ store, kind }) => store === name && kind !== 'tally') ?? []),
        warnings: z.array(StoreWarning).parse(reading.warnings ?? []),
      },
    };
  }

  /** The newest good backup that has the store, written in the same way. */
  async #find(name: StoreName, basis: string) {
    this.#candidates ??= this.#listCandidates();
    for (const record of await this.#candidates) {
      if (!record.stores.includes(name)) continue;
      const { backup_id } = record;
      const opening = this.#opened.get(backup_id) ?? this.#open(record);
      this.#opened.set(backup_id, opening);
      const predecessor = await opening;
      const reading = predecessor.archive.manifest.readings?.[name];
      if (reading?.basis === basis) return { predecessor, reading };
    }
    return undefined;
  }

  /** The newest backups of the target that are good, verified and compressed in the same way. */
  async #listCandidates(): Promise<CatalogRecord[]> {
    const { bucket } = this.#environment;
    const { target, request } = this.#backup;
    const acknowledged = await readAcknowledged(bucket);
    const candidates: CatalogRecord[] = [];
    for await (const { record } of readCatalog(bucket, await catalogIds(bucket))) {
      if (record?.target !== target || record.archive.codec !== request.codec || record.unconfirmed) continue;
      if (record.verification.state !== 'verified') continue;
      if (!summarize(record, acknowledged, bucket.place).good) continue;
      if (candidates.push(record) === CANDIDATES_MAX) break;
    }
    return candidates;
  }

  /**
   * Opens the archive of a backup. Throws IntegrityError unless it is the one that was verified: the same version, size
   * and CRC-32, with the same manifest, and with a valid signature if this deployment knows keys.
   */
  async #open(record: CatalogRecord): Promise<Predecessor> {
    const { bucket } = this.#environment;
    const { s3, name: Bucket } = bucket;
    const { key, version_id, bytes, crc32, checksum } = record.archive;
    const where = addressOf(s3, Bucket, key);
    const version = version_id === undefined ? {} : { VersionId: version_id };
    const head = await sendS3(
      s3,
      'look at',
      new HeadObjectCommand({ Bucket, Key: key, ...version, ChecksumMode: 'ENABLED' }),
      { expected: [404] },
    ).catch((error: unknown) => {
      throw error instanceof NgbakError ? error : unusable(where, 'does not exist');
    });
    // With "-", it is a checksum of checksums: emulators compute it so.
    const known = head.ChecksumCRC32?.includes('-') ? undefined : head.ChecksumCRC32;
    if (head.ContentLength !== bytes || head.ETag === undefined || (known ?? crc32) !== crc32) {
      const found = `${head.ContentLength} bytes and CRC-32 ${head.ChecksumCRC32}`;
      throw unusable(
        where,
        `is not the object that was verified: it has ${found}, not ${bytes} and ${crc32}`,
      );
    }
    const object: SourceObject = {
      key,
      ...(version_id === undefined ? {} : { version_id }),
      etag: head.ETag,
      bytes,
    };
    const source = objectSource(s3, {
      bucket: Bucket,
      key,
      versionId: version_id,
      size: bytes,
      etag: head.ETag,
    });
    const archive = await openArchive(source);
    const { manifest } = archive;
    const isSame =
      manifest.backup_id === record.backup_id &&
      manifest.scope.target === record.target &&
      manifest.checksum === checksum &&
      isDeepStrictEqual(manifest.tallies, record.tallies);
    if (!isSame) throw unusable(where, 'has another manifest than its catalog record states');
    await this.#requireSignature(where, record, source);
    return { record, object, source, archive };
  }

  /** What is carried is signed again: so it must have been signed before. */
  async #requireSignature(where: string, record: CatalogRecord, source: ByteSource): Promise<void> {
    if (!knowsKeys(this.#keys)) return;
    const manifest = await readManifestBytes(source);
    const check = manifest && (await checkSignatures(manifest, recordedSignature(record), this.#keys));
    if (check?.state !== 'valid') throw unusable(where, `has no valid signature (${check?.state})`);
  }
}

function unusable(where: string, what: string): IntegrityError {
  return new IntegrityError(`${where} ${what}.`, { remedy: 'Verify that backup with `ngbak verify`.' });
}

/**
 * Puts the carried stores of a backup among its segments, at their places in the archive. Reads the index of the
 * earlier archive, of exactly the version that was chosen.
 */
export async function stageCarried(
  { bucket }: Environment,
  plan: { readonly job_id: string; readonly stores: readonly PlannedStore[] },
  { signal }: LegLimits,
): Promise<void> {
  const { s3, name } = bucket;
  const segments = segmentsPrefix(plan.job_id);
  for (const { store, order, carried } of orderedStores(plan)) {
    if (!carried) continue;
    const { key, version_id, bytes, etag } = carried.object;
    const source = objectSource(s3, { bucket: name, key, versionId: version_id, size: bytes, etag });
    const start = `${segmentOrder(order)}-${store}-carried`;
    const place = { s3, bucket: name, segments, name: start, source, object: carried.object, signal };
    try {
      const archive = await openArchive(source);
      await carryEntries({ ...place, archive }, (entry) => storeOf(entry) === store, carried);
    } catch (error) {
      if (!(error instanceof NgbakError) || error.retryable) throw error;
      throw new NgbakError(`The data of ${store} can't be carried from ${carried.from}: ${error.message}`, {
        remedy:
          'Start the backup again. If that backup still exists, verify it with `ngbak verify`, and read every store with `ngbak backup --full`.',
        cause: error,
      });
    }
  }
}

/** The stores of a plan, each with the position of its first segment in the archive. */
export function orderedStores<Planned extends PlannedStore>({
  stores,
}: {
  readonly stores: readonly Planned[];
}): (Planned & { readonly order: number })[] {
  let order = 0;
  return stores.map((planned) => {
    const first = order;
    order += planned.carried ? 1 : planned.shards.length;
    return { ...planned, order: first };
  });
}

/** The start of the names of segments, which sorts them in archive order. */
export function segmentOrder(order: number): string {
  return String(order).padStart(4, '0');
}
