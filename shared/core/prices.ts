import { z } from 'zod';
import {
  CLASS_MINIMUMS,
  type ColdPlace,
  STORAGE_CLASSES,
  type StorageClass,
  THAW_TIERS,
  type ThawTier,
} from './storage-class.ts';

/** Bytes of a GB, as S3 bills it. */
const GIB = 1024 ** 3;
const DAY_MS = 24 * 60 * 60 * 1000;
/** Days of a month, for prices per month. */
const MONTH_DAYS = 30;

const Usd = z.number().min(0).max(1_000_000);
const ByTier = z.partialRecord(z.enum(THAW_TIERS), Usd);

/** Prices of one region, in USD. A GB has 2^30 bytes. */
export const Prices = z.strictObject({
  /** Storage in each class, per GB and month. INTELLIGENT_TIERING: its tier for frequent access, the dearest one. */
  storage: z.record(z.enum(STORAGE_CLASSES), Usd),
  /** Reading from a class that can be read at once, per GB. */
  retrieval: z.partialRecord(z.enum(STORAGE_CLASSES), Usd),
  /** Thawing, per GB. */
  thaw: z.strictObject({ GLACIER: ByTier, DEEP_ARCHIVE: ByTier }),
  /** Thawing, per 1,000 archives. */
  thaw_requests: z.strictObject({ GLACIER: ByTier, DEEP_ARCHIVE: ByTier }),
  /** Moving by a lifecycle rule to a class, per 1,000 archives. */
  transition_requests: z.partialRecord(z.enum(STORAGE_CLASSES), Usd),
  /** Monitoring in INTELLIGENT_TIERING, per 1,000 objects and month. */
  monitoring: Usd,
  /** Transfer to another region, per GB. */
  transfer_region: Usd,
  /** Transfer to the internet, per GB. */
  transfer_internet: Usd,
  /** A KMS key, per month. */
  kms_key: Usd,
});
export type Prices = z.infer<typeof Prices>;

/** Prices that replace those of the table. Absent ones are kept. */
export const PriceOverrides = z.strictObject({
  /** When and where these prices were found. */
  date: z.string().max(40).optional(),
  storage: z.partialRecord(z.enum(STORAGE_CLASSES), Usd).optional(),
  retrieval: Prices.shape.retrieval.optional(),
  thaw: Prices.shape.thaw.partial().optional(),
  thaw_requests: Prices.shape.thaw_requests.partial().optional(),
  transition_requests: Prices.shape.transition_requests.optional(),
  monitoring: Usd.optional(),
  transfer_region: Usd.optional(),
  transfer_internet: Usd.optional(),
  kms_key: Usd.optional(),
});
export type PriceOverrides = z.infer<typeof PriceOverrides>;

/** When the list prices below were published. Sources: docs/deploy.md, "Costs". */
export const PRICES_DATE = '2025-10';

const US: Prices = {
  storage: {
    STANDARD: 0.023,
    STANDARD_IA: 0.0125,
    INTELLIGENT_TIERING: 0.023,
    GLACIER_IR: 0.004,
    GLACIER: 0.0036,
    DEEP_ARCHIVE: 0.00099,
  },
  retrieval: { STANDARD_IA: 0.01, GLACIER_IR: 0.03 },
  thaw: {
    GLACIER: { standard: 0.01, bulk: 0, expedited: 0.03 },
    DEEP_ARCHIVE: { standard: 0.02, bulk: 0.0025 },
  },
  thaw_requests: {
    GLACIER: { standard: 0.05, bulk: 0, expedited: 10 },
    DEEP_ARCHIVE: { standard: 0.1, bulk: 0.025 },
  },
  transition_requests: {
    STANDARD_IA: 0.01,
    INTELLIGENT_TIERING: 0.01,
    GLACIER_IR: 0.02,
    GLACIER: 0.03,
    DEEP_ARCHIVE: 0.05,
  },
  monitoring: 0.0025,
  transfer_region: 0.02,
  transfer_internet: 0.09,
  kms_key: 1,
};

/** Storage and thawing differ most between regions. Other prices are those of the first group. */
function group(
  [STANDARD, STANDARD_IA, GLACIER_IR, GLACIER, DEEP_ARCHIVE]: readonly [
    number,
    number,
    number,
    number,
    number,
  ],
  rest: Partial<Prices>,
): Prices {
  const storage = { STANDARD, STANDARD_IA, INTELLIGENT_TIERING: STANDARD, GLACIER_IR, GLACIER, DEEP_ARCHIVE };
  return { ...US, ...rest, storage };
}

const DEARER_THAW: Prices['thaw'] = {
  GLACIER: { standard: 0.012, bulk: 0, expedited: 0.036 },
  DEEP_ARCHIVE: { standard: 0.024, bulk: 0.005 },
};

/** Groups of regions with similar prices. The last group is that of regions that are not listed. */
const GROUPS: readonly { readonly regions: readonly string[]; readonly prices: Prices }[] = [
  { regions: ['us-east-1', 'us-east-2', 'us-west-2', 'eu-west-1', 'eu-north-1'], prices: US },
  {
    regions: ['eu-central-1', 'eu-central-2', 'eu-west-2', 'eu-west-3', 'eu-south-1', 'eu-south-2'],
    prices: group([0.0245, 0.0135, 0.005, 0.0045, 0.0018], { thaw: DEARER_THAW }),
  },
  {
    regions: ['sa-east-1'],
    prices: group([0.0405, 0.0221, 0.0083, 0.0077, 0.0032], {
      thaw: {
        GLACIER: { standard: 0.021, bulk: 0, expedited: 0.063 },
        DEEP_ARCHIVE: { standard: 0.042, bulk: 0.005 },
      },
      transfer_region: 0.138,
      transfer_internet: 0.15,
    }),
  },
  {
    regions: [],
    prices: group([0.025, 0.0138, 0.005, 0.0045, 0.002], {
      thaw: DEARER_THAW,
      transfer_region: 0.09,
      transfer_internet: 0.114,
    }),
  },
];

/** The list prices of a region, or of a group of similar ones. Estimates: discounts and taxes are not included. */
export function pricesOf(region: string, overrides: PriceOverrides = {}): Prices {
  const known = GROUPS.find(({ regions }) => regions.includes(region)) ?? GROUPS.at(-1);
  const base = known?.prices ?? US;
  const { thaw, thaw_requests } = overrides;
  return {
    storage: { ...base.storage, ...overrides.storage },
    retrieval: { ...base.retrieval, ...overrides.retrieval },
    thaw: {
      GLACIER: thaw?.GLACIER ?? base.thaw.GLACIER,
      DEEP_ARCHIVE: thaw?.DEEP_ARCHIVE ?? base.thaw.DEEP_ARCHIVE,
    },
    thaw_requests: {
      GLACIER: thaw_requests?.GLACIER ?? base.thaw_requests.GLACIER,
      DEEP_ARCHIVE: thaw_requests?.DEEP_ARCHIVE ?? base.thaw_requests.DEEP_ARCHIVE,
    },
    transition_requests: { ...base.transition_requests, ...overrides.transition_requests },
    monitoring: overrides.monitoring ?? base.monitoring,
    transfer_region: overrides.transfer_region ?? base.transfer_region,
    transfer_internet: overrides.transfer_internet ?? base.transfer_internet,
    kms_key: overrides.kms_key ?? base.kms_key,
  };
}

/** Whether the table has prices of this region, or only those of similar ones. */
export function isPriced(region: string): boolean {
  return GROUPS.some(({ regions }) => regions.includes(region));
}

/** What objects of one class cost in a month, including billed minimum sizes and metadata. */
export function storageUsd(
  prices: Prices,
  storageClass: StorageClass,
  { bytes, objects }: { readonly bytes: number; readonly objects: number },
): number {
  const { overhead, bytes: smallest } = CLASS_MINIMUMS[storageClass];
  const billed = Math.max(bytes, objects * smallest) + objects * overhead.own;
  const metadata = (objects * overhead.standard * prices.storage.STANDARD) / GIB;
  const monitoring = storageClass === 'INTELLIGENT_TIERING' ? (objects * prices.monitoring) / 1000 : 0;
  return (billed * prices.storage[storageClass]) / GIB + metadata + monitoring;
}

/** What it costs to thaw an archive, and to keep the thawed copy in STANDARD for some days. */
export function thawUsd(
  prices: Prices,
  place: ColdPlace,
  tier: ThawTier,
  { bytes, days }: { readonly bytes: number; readonly days: number },
): number {
  // INTELLIGENT_TIERING bills fast thawing only, and moves the archive back instead of copying it.
  if (place === 'ARCHIVE_ACCESS' || place === 'DEEP_ARCHIVE_ACCESS') {
    return tier === 'expedited' ? (bytes * (prices.thaw.GLACIER.expedited ?? 0)) / GIB : 0;
  }
  const retrieval = (bytes * (prices.thaw[place][tier] ?? 0)) / GIB;
  const request = (prices.thaw_requests[place][tier] ?? 0) / 1000;
  const copy = (bytes * prices.storage.STANDARD * days) / MONTH_DAYS / GIB;
  return retrieval + request + copy;
}

/** Until when deleting an object of this class is billed as if it had stayed. Undefined without a minimum. */
export function minimumUntil(storageClass: StorageClass, since: Date): Date | undefined {
  const { days } = CLASS_MINIMUMS[storageClass];
  return days === 0 ? undefined : new Date(since.getTime() + days * DAY_MS);
}

/** What deleting an object now costs: the rest of the minimum duration of its class. */
export function earlyDeletionUsd(
  prices: Prices,
  storageClass: StorageClass,
  { bytes, since, now }: { readonly bytes: number; readonly since: Date; readonly now: Date },
): number {
  const until = minimumUntil(storageClass, since);
  if (until === undefined || until <= now) return 0;
  const days = (until.getTime() - now.getTime()) / DAY_MS;
  return (storageUsd(prices, storageClass, { bytes, objects: 1 }) * days) / MONTH_DAYS;
}

/** What is stored of one kind in one storage class. */
export interface StoredAmount {
  readonly storage_class: string;
  readonly objects: number;
  /** Bytes of the objects, and the bytes that S3 bills for them at least. */
  readonly bytes: number;
  readonly billed_bytes: number;
}

/** The class whose prices apply: classes that ngbak does not use are estimated as STANDARD. */
export function pricedClass(name: string): StorageClass {
  return STORAGE_CLASSES.find((known) => known === name) ?? 'STANDARD';
}

/** Bytes that S3 bills for an object at least, without metadata. */
export function billedBytes(name: string, bytes: number): number {
  return Math.max(bytes, CLASS_MINIMUMS[pricedClass(name)].bytes);
}

/** What an amount costs in a month. */
export function amountUsd(prices: Prices, { storage_class, objects, billed_bytes }: StoredAmount): number {
  return storageUsd(prices, pricedClass(storage_class), { bytes: billed_bytes, objects });
}

/** The GB-months that S3 bills in any case for an object of this class. 0 once the minimum duration has passed. */
export function remainingMinimum(
  storageClass: StorageClass,
  { bytes, since, now }: { readonly bytes: number; readonly since: Date; readonly now: Date },
): number {
  const until = minimumUntil(storageClass, since);
  if (until === undefined || until <= now) return 0;
  const months = (until.getTime() - now.getTime()) / DAY_MS / MONTH_DAYS;
  return (billedBytes(storageClass, bytes) / GIB) * months;
}
