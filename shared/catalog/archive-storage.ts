import type { HeadObjectCommandOutput } from '@aws-sdk/client-s3';
import { z } from 'zod';
import type { Bucket, ListedObject } from '../aws/bucket.ts';
import { ObjectArchivedError } from '../aws/s3-error.ts';
import type { NgbakConfig } from '../core/config.ts';
import { offerText } from '../core/cost-text.ts';
import { HELP } from '../core/help.ts';
import { earlyDeletionUsd, minimumUntil, pricesOf, thawUsd } from '../core/prices.ts';
import {
  CLASS_MINIMUMS,
  ColdPlace,
  StorageClass,
  THAW_DAYS,
  THAW_HOURS,
  THAW_TIERS,
  ThawTier,
} from '../core/storage-class.ts';
import { headArchive } from './head-archive.ts';
import type { CatalogRecord } from './record.ts';

/** How an archive can be thawed, with an estimate of duration and price. */
export const ThawOffer = z.object({
  tier: ThawTier,
  hours_min: z.number(),
  hours_max: z.number(),
  /** Estimated price of thawing, and of keeping the thawed copy for the default number of days. */
  usd: z.number(),
});
export type ThawOffer = z.infer<typeof ThawOffer>;

/** Where an archive is, and whether it can be read. */
export const ArchiveStorage = z.object({
  storage_class: z.string(),
  /** Since when it has been in this class, as far as that is known: S3 does not report it. */
  since: z.iso.datetime().optional(),
  /** `cold`: it has to be thawed first. `thawing`: this was requested. `thawed`: there is a copy for some days. */
  state: z.enum(['readable', 'cold', 'thawing', 'thawed']),
  /** Until when the thawed copy can be read. */
  readable_until: z.iso.datetime().optional(),
  /** How it can be thawed. Absent unless it is cold. */
  thaw: z.array(ThawOffer).optional(),
  /** Until when deleting it is billed as if it had stayed, and what deleting it now would cost, in USD. */
  minimum: z.object({ days: z.int(), until: z.iso.datetime(), usd: z.number() }).optional(),
});
export type ArchiveStorage = z.infer<typeof ArchiveStorage>;

type Head = Pick<HeadObjectCommandOutput, 'StorageClass' | 'ArchiveStatus' | 'Restore'>;

/** The cold place of an object according to S3's response, whether or not it is thawed. Undefined if it is not cold. */
export function coldPlaceOf({ StorageClass: name, ArchiveStatus }: Head): ColdPlace | undefined {
  return ColdPlace.safeParse(ArchiveStatus ?? name).data;
}

/** The state of an object according to S3's response, and until when a thawed copy of it can be read. */
export function thawStateOf(head: Head): Pick<ArchiveStorage, 'state' | 'readable_until'> {
  if (coldPlaceOf(head) === undefined) return { state: 'readable' };
  const { Restore = '' } = head;
  if (/ongoing-request="true"/.test(Restore)) return { state: 'thawing' };
  if (!/ongoing-request="false"/.test(Restore)) return { state: 'cold' };
  const until = Date.parse(/expiry-date="([^"]+)"/.exec(Restore)?.[1] ?? '');
  return {
    state: 'thawed',
    ...(Number.isNaN(until) ? {} : { readable_until: new Date(until).toISOString() }),
  };
}

/** How an archive of a given size can be thawed, the default first. */
export function thawOffers(place: ColdPlace, bytes: number, region: string, days = THAW_DAYS): ThawOffer[] {
  const prices = pricesOf(region);
  return THAW_TIERS.flatMap((tier) => {
    const hours = THAW_HOURS[place][tier];
    if (hours === undefined) return [];
    return [
      {
        tier,
        hours_min: hours.min,
        hours_max: hours.max,
        usd: thawUsd(prices, place, tier, { bytes, days }),
      },
    ];
  });
}

/** The region of a bucket, for its prices. */
export async function regionOf({ s3 }: Pick<Bucket, 's3'>): Promise<string> {
  return s3.config.region();
}

/** What a listing states of an archive. */
export const ListedStorage = ArchiveStorage.pick({ storage_class: true, state: true, readable_until: true });
export type ListedStorage = z.infer<typeof ListedStorage>;

/** Where an archive is, according to a listing, which does not have the archive tiers of INTELLIGENT_TIERING. */
export function listedStorage({
  storageClass,
  restore,
}: Pick<ListedObject, 'storageClass' | 'restore'>): ListedStorage {
  const storage_class = storageClass;
  if (!ColdPlace.safeParse(storageClass).success) return { storage_class, state: 'readable' };
  if (restore?.IsRestoreInProgress) return { storage_class, state: 'thawing' };
  const until = restore?.RestoreExpiryDate;
  if (until === undefined) return { storage_class, state: 'cold' };
  return { storage_class, state: 'thawed', readable_until: until.toISOString() };
}

type Transitions = NgbakConfig['transitions'];

/**
 * Since when an archive has been in its class: from its creation, or from the first midnight UTC after the days of its
 * transition. Undefined if the configuration does not explain the class.
 */
export function inClassSince(
  record: Pick<CatalogRecord, 'created_at' | 'completed_at' | 'storage_class'>,
  current: string,
  transitions: Transitions = [],
): string | undefined {
  if (current === (record.storage_class ?? 'STANDARD')) return record.completed_at;
  const moved = transitions.find(({ storage_class }) => storage_class === current);
  if (moved === undefined) return undefined;
  const due = new Date(record.completed_at);
  due.setUTCDate(due.getUTCDate() + moved.days + 1);
  due.setUTCHours(0, 0, 0, 0);
  return due.toISOString();
}

/** Where the archive of a backup is. Undefined if it does not exist. */
export async function archiveStorage(
  bucket: Bucket,
  record: CatalogRecord,
  transitions?: Transitions,
  now = new Date(),
): Promise<ArchiveStorage | undefined> {
  const head = await headArchive(bucket, record);
  if (!head) return undefined;
  const storage_class = head.StorageClass ?? 'STANDARD';
  const since = inClassSince(record, storage_class, transitions);
  const place = coldPlaceOf(head);
  const thawed = thawStateOf(head);
  const region = await regionOf(bucket);
  const bytes = record.archive.bytes;
  const minimum = minimumOf(storage_class, { bytes, since, now, region });
  return {
    storage_class,
    ...(since === undefined ? {} : { since }),
    ...thawed,
    ...(place === undefined || thawed.state !== 'cold' ? {} : { thaw: thawOffers(place, bytes, region) }),
    ...(minimum === undefined ? {} : { minimum }),
  };
}

/** Until when deleting an object of this class is billed as if it had stayed, and what deleting it now would cost. */
export function minimumOf(
  name: string,
  at: {
    readonly bytes: number;
    readonly since: string | undefined;
    readonly now: Date;
    readonly region: string;
  },
): ArchiveStorage['minimum'] {
  const known = StorageClass.safeParse(name).data;
  if (known === undefined || at.since === undefined) return undefined;
  const since = new Date(at.since);
  const until = minimumUntil(known, since);
  if (until === undefined || until <= at.now) return undefined;
  const usd = earlyDeletionUsd(pricesOf(at.region), known, { bytes: at.bytes, since, now: at.now });
  return { days: CLASS_MINIMUMS[known].days, until: until.toISOString(), usd };
}

/**
 * Throws ObjectArchivedError, which states how to thaw the archive of a backup, or of its copy, if it cannot be read.
 * Returns false if it does not exist.
 */
export async function requireReadable(
  bucket: Bucket,
  {
    backup_id,
    archive,
    copy,
  }: {
    readonly backup_id: string;
    readonly archive: Pick<CatalogRecord['archive'], 'key' | 'version_id'>;
    readonly copy?: string | undefined;
  },
): Promise<boolean> {
  const head = await headArchive(bucket, { archive });
  const place = head && coldPlaceOf(head);
  if (!head || place === undefined) return head !== undefined;
  const { state } = thawStateOf(head);
  const what = copy === undefined ? backup_id : `${backup_id}, copy ${copy}`;
  const command = `ngbak thaw ${backup_id}${copy === undefined ? '' : ` --copy ${copy}`} --wait`;
  if (state === 'cold') {
    const offers = thawOffers(place, head.ContentLength ?? 0, await regionOf(bucket));
    const how = `Repeat the command with --thaw, or the request with "thaw", or run \`${command}\`.`;
    throw coldArchive(what, place, offers, how);
  }
  if (state === 'thawing') throw thawingArchive(what, place, command);
  return true;
}

/** The error of an archive that has to be thawed first. `how` states what to do. */
export function coldArchive(
  what: string,
  place: ColdPlace,
  offers: readonly ThawOffer[],
  how: string,
): ObjectArchivedError {
  return new ObjectArchivedError(
    `The archive of ${what} is in the storage class ${place} and cannot be read until it is thawed.`,
    {
      remedy: `${how} ${offers.map(offerText).join('; ')}; estimated, with ${THAW_DAYS} days of the thawed copy.`,
      help: HELP.archivedObject,
    },
  );
}

function thawingArchive(what: string, place: ColdPlace, command: string): ObjectArchivedError {
  const hours = THAW_HOURS[place];
  const longest = Math.max(...Object.values(hours).map(({ max }) => max));
  return new ObjectArchivedError(
    `The archive of ${what} is being thawed from the storage class ${place} and cannot be read yet.`,
    {
      remedy: `Wait for it with \`${command}\`, or repeat the command with --thaw: S3 needs up to ${longest} hours from the request.`,
      help: HELP.archivedObject,
    },
  );
}
