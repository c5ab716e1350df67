import { z } from 'zod';

/** Storage classes of S3 for archives, in the order in which lifecycle rules can move an object: never backwards. */
export const STORAGE_CLASSES = [
  'STANDARD',
  'STANDARD_IA',
  'INTELLIGENT_TIERING',
  'GLACIER_IR',
  'GLACIER',
  'DEEP_ARCHIVE',
] as const;
export const StorageClass = z.enum(STORAGE_CLASSES);
export type StorageClass = z.infer<typeof StorageClass>;

/** The classes whose objects can be read at any time. Objects in the others have to be thawed first. */
export const READABLE_CLASSES = STORAGE_CLASSES.filter(
  (name): name is Exclude<StorageClass, 'GLACIER' | 'DEEP_ARCHIVE'> =>
    name !== 'GLACIER' && name !== 'DEEP_ARCHIVE',
);

/** A class in which archives can be created: every new archive is read back before it is added to the catalog. */
export const ReadableClass = z.enum(READABLE_CLASSES, {
  error: `must be one of ${READABLE_CLASSES.join(', ')}: a new archive is read back before it is added to the catalog. "transitions" move it to GLACIER or DEEP_ARCHIVE later`,
});

/** What S3 bills for an object at least (S3 user guide, "Comparing the Amazon S3 storage classes"). */
interface ClassMinimum {
  /** Days that are billed even if the object is deleted, replaced or moved earlier. */
  readonly days: number;
  /** Bytes that are billed even if the object is smaller. */
  readonly bytes: number;
  /** Bytes of metadata that are billed in addition to the object: in the class itself, and in STANDARD. */
  readonly overhead: { readonly own: number; readonly standard: number };
}

const NO_OVERHEAD = { own: 0, standard: 0 };
const COLD_OVERHEAD = { own: 32 * 1024, standard: 8 * 1024 };
const SMALL = 128 * 1024;

export const CLASS_MINIMUMS: Readonly<Record<StorageClass, ClassMinimum>> = {
  STANDARD: { days: 0, bytes: 0, overhead: NO_OVERHEAD },
  STANDARD_IA: { days: 30, bytes: SMALL, overhead: NO_OVERHEAD },
  INTELLIGENT_TIERING: { days: 0, bytes: 0, overhead: NO_OVERHEAD },
  GLACIER_IR: { days: 90, bytes: SMALL, overhead: NO_OVERHEAD },
  GLACIER: { days: 90, bytes: 0, overhead: COLD_OVERHEAD },
  DEEP_ARCHIVE: { days: 180, bytes: 0, overhead: COLD_OVERHEAD },
};

/** Lifecycle rules do not move smaller objects by default (S3 user guide, "Constraints and considerations for transitions"). */
export const TRANSITION_BYTES_MIN = SMALL;

/** How fast an archive is thawed, as S3 names it, in lower case. */
export const THAW_TIERS = ['standard', 'bulk', 'expedited'] as const;
export const ThawTier = z.enum(THAW_TIERS);
export type ThawTier = z.infer<typeof ThawTier>;

/** Where an object is that cannot be read: a storage class, or an archive tier of INTELLIGENT_TIERING. */
export const COLD_PLACES = ['GLACIER', 'DEEP_ARCHIVE', 'ARCHIVE_ACCESS', 'DEEP_ARCHIVE_ACCESS'] as const;
export const ColdPlace = z.enum(COLD_PLACES);
export type ColdPlace = z.infer<typeof ColdPlace>;

/** Shortest and longest usual duration of a thaw, in hours. */
export interface ThawHours {
  readonly min: number;
  readonly max: number;
}

const FLEXIBLE: Readonly<Record<ThawTier, ThawHours>> = {
  standard: { min: 3, max: 5 },
  bulk: { min: 5, max: 12 },
  expedited: { min: 1 / 60, max: 5 / 60 },
};
const DEEP: Readonly<Partial<Record<ThawTier, ThawHours>>> = {
  standard: { min: 9, max: 12 },
  bulk: { min: 24, max: 48 },
};

/** Usual durations (S3 user guide, "Understanding archive retrieval options"). S3 guarantees none of them. */
export const THAW_HOURS: Readonly<Record<ColdPlace, Readonly<Partial<Record<ThawTier, ThawHours>>>>> = {
  GLACIER: FLEXIBLE,
  DEEP_ARCHIVE: DEEP,
  ARCHIVE_ACCESS: FLEXIBLE,
  DEEP_ARCHIVE_ACCESS: DEEP,
};

/** How long a thawed copy is kept by default, in days: as long as a restore may run by default. */
export const THAW_DAYS = 7;

/** Request to thaw an archive that is in cold storage. */
export const ThawRequest = z.strictObject({
  tier: ThawTier.default('standard'),
  /** Days for which the thawed copy is kept. At least 2, since a restore may wait a day for its confirmation. */
  days: z.int().min(2).max(365).default(THAW_DAYS),
});
export type ThawRequest = z.infer<typeof ThawRequest>;

/** When an archive moves to which class, in days from its creation. */
export const Transition = z.strictObject({
  days: z.int().min(1).max(36_500),
  storageClass: z.enum(STORAGE_CLASSES.filter((name) => name !== 'STANDARD')),
});
export type Transition = z.infer<typeof Transition>;

/** The days that S3 requires before a move to STANDARD_IA, and after it before the next move. */
const INFREQUENT_DAYS = 30;

/**
 * What S3 would refuse in a sequence of transitions of archives that are created in a given class, by index; or what
 * would never happen.
 */
export function transitionProblems(
  created: StorageClass,
  transitions: readonly Transition[],
): { readonly index: number; readonly problem: string }[] {
  const order = (name: StorageClass) => STORAGE_CLASSES.indexOf(name);
  return transitions.flatMap(({ days, storageClass }, index) => {
    const before = transitions[index - 1];
    const from = before?.storageClass ?? created;
    const problems: string[] = [];
    if (order(storageClass) <= order(from)) {
      problems.push(`an archive cannot move from ${from} to ${storageClass}: the order is ${ORDER_TEXT}`);
    }
    if (before && days <= before.days) {
      problems.push(
        `must come after the transition to ${before.storageClass}, which is after ${before.days} days`,
      );
    }
    if (storageClass === 'STANDARD_IA' && days < INFREQUENT_DAYS) {
      problems.push(`S3 moves objects to STANDARD_IA after ${INFREQUENT_DAYS} days at the earliest`);
    }
    if (before?.storageClass === 'STANDARD_IA' && days < before.days + INFREQUENT_DAYS) {
      problems.push(
        `S3 requires ${INFREQUENT_DAYS} days in STANDARD_IA: ${before.days + INFREQUENT_DAYS} days at the earliest`,
      );
    }
    return problems.map((problem) => ({ index, problem }));
  });
}

const ORDER_TEXT = STORAGE_CLASSES.join(', ');

/** Tag of the archives that lifecycle rules may move: those that were verified and catalogued. */
export const MOVABLE_TAG = { key: 'ngbak', value: 'catalogued' } as const;
