import { RestoreObjectCommand, S3ServiceException, Tier } from '@aws-sdk/client-s3';
import type { Bucket } from '../aws/bucket.ts';
import { sendS3 } from '../aws/send-s3.ts';
import { InvalidInputError } from '../core/errors.ts';
import { HELP } from '../core/help.ts';
import { type ColdPlace, THAW_HOURS, type ThawHours, type ThawRequest } from '../core/storage-class.ts';
import { type ArchiveStorage, coldPlaceOf, thawStateOf } from './archive-storage.ts';
import { headArchive } from './head-archive.ts';

const TIERS = { standard: Tier.Standard, bulk: Tier.Bulk, expedited: Tier.Expedited } as const;
const DAY_MS = 24 * 60 * 60 * 1000;

/** Errors of S3 that mean that an archive is being thawed, or need not be. */
const FINE = ['RestoreAlreadyInProgress', 'ObjectAlreadyInActiveTierError'];
const NO_CAPACITY = 'GlacierExpeditedRetrievalNotAvailable';

/** What came of a request to thaw an archive. */
export type ThawProgress = Pick<ArchiveStorage, 'state' | 'readable_until'> & {
  /** Where the archive is, if it is not readable without a request. */
  readonly place?: ColdPlace;
  /** True if this call has made the request. */
  readonly requested: boolean;
};

/** Usual duration of a thaw. Throws InvalidInputError if the class does not support the tier. */
export function thawHours(place: ColdPlace, tier: ThawRequest['tier']): ThawHours {
  const hours = THAW_HOURS[place][tier];
  if (hours) return hours;
  throw new InvalidInputError(`S3 has no ${tier} thawing from ${place}.`, {
    remedy: `Use one of: ${Object.keys(THAW_HOURS[place]).join(', ')}.`,
    help: HELP.archivedObject,
  });
}

/**
 * Requests that an archive be thawed, unless it is readable or that was requested before. Idempotent: call it again for
 * the progress. A thawed copy that expires within a day is kept for the requested days again. Throws InvalidInputError if
 * the archive does not exist, or if S3 cannot thaw it in this way.
 */
export async function thawArchive(
  bucket: Bucket,
  archive: { readonly key: string; readonly version_id?: string | undefined },
  request: ThawRequest,
  now = Date.now(),
): Promise<ThawProgress> {
  const head = await headArchive(bucket, { archive });
  if (!head) {
    throw new InvalidInputError(`There is no archive s3://${bucket.place}/${archive.key}.`, {
      remedy: 'List the backups with `ngbak list`.',
    });
  }
  const place = coldPlaceOf(head);
  const found = thawStateOf(head);
  if (place === undefined) return { ...found, requested: false };
  const until = found.readable_until;
  const expires = until !== undefined && Date.parse(until) - now < DAY_MS;
  if (found.state === 'thawing' || (found.state === 'thawed' && !expires)) {
    return { ...found, place, requested: false };
  }
  thawHours(place, request.tier);
  const requested = await send(bucket, archive, place, request, found.state === 'thawed');
  if (found.state === 'thawed') return { ...found, place, requested };
  return { state: 'thawing', place, requested };
}

/** Sends the request. False if S3 had it already. */
async function send(
  bucket: Bucket,
  { key, version_id }: { readonly key: string; readonly version_id?: string | undefined },
  place: ColdPlace,
  { tier, days }: ThawRequest,
  extend: boolean,
): Promise<boolean> {
  const tiering = place === 'ARCHIVE_ACCESS' || place === 'DEEP_ARCHIVE_ACCESS';
  const command = new RestoreObjectCommand({
    Bucket: bucket.name,
    Key: key,
    ...(version_id === undefined ? {} : { VersionId: version_id }),
    RestoreRequest: {
      // INTELLIGENT_TIERING moves the object back instead of making a copy that expires.
      ...(tiering ? {} : { Days: days }),
      ...(extend ? {} : { GlacierJobParameters: { Tier: TIERS[tier] } }),
    },
  });
  try {
    await sendS3(bucket.s3, 'thaw', command, { expected: [...FINE, NO_CAPACITY] });
    return true;
  } catch (error) {
    if (!(error instanceof S3ServiceException)) throw error;
    if (FINE.includes(error.name)) return false;
    if (error.name !== NO_CAPACITY) throw error;
    throw new InvalidInputError(`S3 has no capacity to thaw s3://${bucket.place}/${key} expedited.`, {
      remedy: 'Request standard thawing, or try again later.',
      help: HELP.archivedObject,
      cause: error,
    });
  }
}
