import { z } from 'zod';
import type { ListedVersion, VersionMarker } from '../aws/bucket.ts';
import { BACKUPS, DEFERRED, OWN_FOLDERS, STAGING, UPLOADS } from '../aws/keys.ts';
import { listPartsPage } from '../aws/multipart.ts';
import { inClassSince, regionOf } from '../catalog/archive-storage.ts';
import { readListed } from '../catalog/list.ts';
import { catalogEntries } from '../catalog/read.ts';
import { ObjectLock } from '../core/copies.ts';
import { parseInput } from '../core/input.ts';
import type { Json } from '../core/json.ts';
import {
  amountUsd,
  billedBytes,
  isPriced,
  minimumUntil,
  PRICES_DATE,
  type Prices,
  pricedClass,
  pricesOf,
  remainingMinimum,
  thawUsd,
} from '../core/prices.ts';
import { ColdPlace, StorageClass, THAW_DAYS, THAW_TIERS, ThawTier } from '../core/storage-class.ts';
import type { OperationsContext } from './context.ts';

/** Backups whose early deletion is listed: those that would cost most. */
const EARLY_MAX = 20;

/** What the bucket stores, by what it is for. */
export const STORED = [
  'archives',
  'records',
  'deleted backups',
  'temporary objects',
  'unfinished uploads',
  'jobs and settings',
] as const;

const Amount = z.object({
  what: z.enum(STORED),
  storage_class: z.string(),
  objects: z.number().int(),
  bytes: z.number(),
  /** Bytes that S3 bills: some classes have a minimum size. */
  billed_bytes: z.number(),
});
type Amount = z.infer<typeof Amount>;

/** Minimum durations that have not passed, by class. */
const Early = z.object({
  storage_class: StorageClass,
  archives: z.number().int(),
  /** What is billed in any case, in GB-months. */
  gb_months: z.number(),
  /** When the last of them ends. */
  until: z.iso.datetime(),
});

const EarlyBackup = z.object({
  backup_id: z.string(),
  storage_class: StorageClass,
  until: z.iso.datetime(),
  gb_months: z.number(),
});

/** The result so far, which a caller passes back to continue. */
const CostsCursor = z.strictObject({
  /** Number of folders that are listed completely, and where the next one continues. */
  folders: z.int().nonnegative(),
  key: z.string().max(1024).optional(),
  version: z.string().max(1024).optional(),
  stored: z.array(Amount).max(STORED.length * 20),
  early: z.array(Early).max(20),
  early_backups: z.array(EarlyBackup).max(EARLY_MAX),
});
type CostsCursor = z.infer<typeof CostsCursor>;

export const Costs = z.object({
  /** True once everything was listed. */
  done: z.boolean(),
  /** Where the next call continues. Null once it is done. */
  cursor: z.json(),
  region: z.string(),
  /** When the list prices were published, and whether they are those of this region or of similar ones. */
  prices: z.object({ date: z.string(), of_region: z.boolean() }),
  /** What is stored now in the bucket of the deployment. */
  stored: z.array(Amount.extend({ usd_per_month: z.number() })),
  usd_per_month: z.number(),
  /** Complete copies in other buckets, by name, as the catalog states them. Present once it is done, if there are any. */
  copies: z
    .array(
      z.object({
        ...{ name: z.string(), region: z.string(), storage_class: z.string() },
        ...{
          objects: z.number().int(),
          bytes: z.number(),
          billed_bytes: z.number(),
          usd_per_month: z.number(),
        },
      }),
    )
    .optional(),
  /** What thawing every archive in cold storage would cost. */
  thaw: z.array(z.object({ storage_class: ColdPlace, tier: ThawTier, usd: z.number() })),
  /** What is billed in any case for minimum durations, by class. */
  early_deletion: z.array(Early.extend({ usd: z.number() })),
  /** The backups for which most is billed in any case. */
  early_backups: z.array(EarlyBackup.extend({ usd: z.number() })),
  /** Archives are locked, and billed, for this long, whatever is deleted. */
  object_lock: ObjectLock.optional(),
});
export type Costs = z.infer<typeof Costs>;

export interface CostsLeg {
  /** The cursor that the previous call returned. Null for the first one. */
  readonly cursor: Json;
  timeLeft(): number;
}

/**
 * What is stored in the bucket, by purpose and storage class, and what that costs in a month by list prices: an estimate,
 * without discounts, taxes, requests and keys. Lists the bucket a page at a time; resumable.
 */
export async function storageCosts(
  context: OperationsContext,
  { cursor, timeLeft }: CostsLeg,
  now = new Date(),
): Promise<Costs> {
  const { bucket, config } = context;
  const from =
    cursor === null
      ? { folders: 0, stored: [], early: [], early_backups: [] }
      : parseInput(CostsCursor, cursor, 'The cursor of the costs', 'Start again without one.');
  const found = new Inventory(from, config, now);
  let { folders } = from;
  let after: VersionMarker | undefined =
    from.key === undefined ? undefined : { key: from.key, version: from.version };
  // At least one page, so that every call makes progress.
  for (let first = true; folders < OWN_FOLDERS.length && (first || timeLeft() > 0); first = false) {
    const { versions, next } = await bucket.versionsPage(OWN_FOLDERS[folders] ?? '', after);
    for (const version of versions) found.add(version);
    after = next;
    if (next === undefined) folders++;
  }
  const listed = folders === OWN_FOLDERS.length;
  if (listed) await addUnfinished(context, found);
  const region = await regionOf(bucket);
  const copies = listed ? await storedCopies(context, region) : [];
  const place =
    after === undefined ? {} : { key: after.key, ...(after.version ? { version: after.version } : {}) };
  return {
    done: listed,
    cursor: listed ? null : { folders, ...place, ...found.state() },
    region,
    prices: { date: PRICES_DATE, of_region: isPriced(region) },
    ...priceCosts(found.state(), pricesOf(region)),
    ...(copies.length === 0 ? {} : { copies }),
    ...(config?.object_lock === undefined ? {} : { object_lock: config.object_lock }),
  };
}

/** The parts of multipart uploads that were neither completed nor aborted, which are billed and appear in no listing. */
async function addUnfinished({ bucket }: OperationsContext, found: Inventory): Promise<void> {
  for (const folder of [BACKUPS, DEFERRED, STAGING, UPLOADS]) {
    for await (const upload of bucket.uploads(folder)) {
      for (let next: number | undefined = 0; next !== undefined; ) {
        const page: Awaited<ReturnType<typeof listPartsPage>> = await listPartsPage(upload, next);
        for (const { bytes } of page?.parts ?? []) found.count('unfinished uploads', 'STANDARD', bytes);
        next = page?.next;
      }
    }
  }
}

/** The complete copies of all backups, by name. Their buckets are not listed: the catalog knows their sizes. */
async function storedCopies(
  { bucket, config }: OperationsContext,
  region: string,
): Promise<NonNullable<Costs['copies']>> {
  const sums = new Map<string, NonNullable<Costs['copies']>[number]>();
  for await (const { listed } of readListed(bucket, await catalogEntries(bucket))) {
    for (const { name, state } of listed?.summary.copies ?? []) {
      if (state !== 'complete') continue;
      const { region: other = region, storage_class = 'STANDARD' } = config?.copies?.[name] ?? {};
      const none = { objects: 0, bytes: 0, billed_bytes: 0, usd_per_month: 0 };
      const sum = sums.get(name) ?? { name, region: other, storage_class, ...none };
      const bytes = sum.bytes + (listed?.summary.bytes ?? 0);
      const billed_bytes = sum.billed_bytes + billedBytes(storage_class, listed?.summary.bytes ?? 0);
      const amount = { storage_class, objects: sum.objects + 1, bytes, billed_bytes };
      sums.set(name, { ...sum, ...amount, usd_per_month: amountUsd(pricesOf(other), amount) });
    }
  }
  return [...sums.values()];
}

/** Sums of what was listed. Their number does not depend on the number of objects. */
class Inventory {
  readonly #stored = new Map<string, Amount>();
  readonly #early = new Map<string, z.infer<typeof Early>>();
  #backups: z.infer<typeof EarlyBackup>[];
  readonly #config: OperationsContext['config'];
  readonly #now: Date;

  constructor(
    { stored, early, early_backups }: Pick<CostsCursor, 'stored' | 'early' | 'early_backups'>,
    config: OperationsContext['config'],
    now: Date,
  ) {
    for (const amount of stored) this.#stored.set(`${amount.what} ${amount.storage_class}`, amount);
    for (const one of early) this.#early.set(one.storage_class, one);
    this.#backups = [...early_backups];
    this.#config = config;
    this.#now = now;
  }

  state(): Pick<CostsCursor, 'stored' | 'early' | 'early_backups'> {
    return {
      stored: [...this.#stored.values()],
      early: [...this.#early.values()],
      early_backups: this.#backups,
    };
  }

  add({ key, size, storageClass, latest, modified }: ListedVersion): void {
    const what = purposeOf(key, latest);
    this.count(what, storageClass, size);
    if (what === 'archives' && modified) this.#addEarly(key, storageClass, size, modified);
  }

  count(what: Amount['what'], storage_class: string, bytes: number): void {
    const id = `${what} ${storage_class}`;
    const sum = this.#stored.get(id) ?? { what, storage_class, objects: 0, bytes: 0, billed_bytes: 0 };
    this.#stored.set(id, {
      ...sum,
      objects: sum.objects + 1,
      bytes: sum.bytes + bytes,
      billed_bytes: sum.billed_bytes + billedBytes(storage_class, bytes),
    });
  }

  #addEarly(key: string, name: string, bytes: number, created: Date): void {
    const storage_class = StorageClass.safeParse(name).data;
    if (storage_class === undefined) return;
    const time = created.toISOString();
    const record = {
      created_at: time,
      completed_at: time,
      storage_class: this.#config?.storage_class ?? 'STANDARD',
    };
    const since = inClassSince(record, storage_class, this.#config?.transitions);
    // Of an archive that something else has moved, only its creation is known.
    const start = new Date(since ?? time);
    const gb_months = remainingMinimum(storage_class, { bytes, since: start, now: this.#now });
    const until = minimumUntil(storage_class, start)?.toISOString();
    if (gb_months === 0 || until === undefined) return;
    const sum = this.#early.get(storage_class) ?? { storage_class, archives: 0, gb_months: 0, until };
    this.#early.set(storage_class, {
      storage_class,
      archives: sum.archives + 1,
      gb_months: sum.gb_months + gb_months,
      // ISO 8601: the later one is the last in the alphabet.
      until: [sum.until, until].sort().at(-1) ?? until,
    });
    const backup_id = key.slice(BACKUPS.length, -'.ngbak'.length);
    this.#backups = [...this.#backups, { backup_id, storage_class, until, gb_months }]
      .sort((a, b) => b.gb_months - a.gb_months)
      .slice(0, EARLY_MAX);
  }
}

/** What an object is for, by its key. */
function purposeOf(key: string, latest: boolean): Amount['what'] {
  if (key.startsWith(BACKUPS)) {
    if (!latest) return 'deleted backups';
    return key.endsWith('.ngbak') ? 'archives' : 'records';
  }
  const temporary = [STAGING, UPLOADS, DEFERRED].some((folder) => key.startsWith(folder));
  return temporary ? 'temporary objects' : 'jobs and settings';
}

/** Prices of what is stored, by a table of prices: also by that of a caller. A pure function. */
export function priceCosts(
  {
    stored,
    early,
    early_backups,
  }: Pick<CostsCursor, 'early' | 'early_backups'> & { readonly stored: readonly Amount[] },
  prices: Prices,
): Pick<Costs, 'stored' | 'usd_per_month' | 'thaw' | 'early_deletion' | 'early_backups'> {
  const priced = stored
    .map((amount) => ({ ...amount, usd_per_month: amountUsd(prices, amount) }))
    .sort((a, b) => STORED.indexOf(a.what) - STORED.indexOf(b.what) || b.usd_per_month - a.usd_per_month);
  const withUsd = <T extends { storage_class: StorageClass; gb_months: number }>(one: T) => ({
    ...one,
    usd: one.gb_months * prices.storage[pricedClass(one.storage_class)],
  });
  return {
    stored: priced,
    usd_per_month: priced.reduce((sum, { usd_per_month }) => sum + usd_per_month, 0),
    thaw: stored.filter(({ what }) => what === 'archives').flatMap((amount) => thawAll(prices, amount)),
    early_deletion: early.map(withUsd),
    early_backups: early_backups.map(withUsd),
  };
}

/** What thawing all archives of a class costs: the requests are for each of them. */
function thawAll(prices: Prices, { storage_class, objects, bytes }: Amount): Costs['thaw'] {
  if (storage_class !== 'GLACIER' && storage_class !== 'DEEP_ARCHIVE') return [];
  return THAW_TIERS.flatMap((tier) => {
    if (prices.thaw[storage_class][tier] === undefined) return [];
    const each = thawUsd(prices, storage_class, tier, {
      bytes: bytes / Math.max(1, objects),
      days: THAW_DAYS,
    });
    return [{ storage_class, tier, usd: each * objects }];
  });
}
