import type { LifecycleRule } from '@aws-sdk/client-s3';
import { BACKUPS, JOBS } from '../shared/aws/keys.ts';
import { InvalidInputError } from '../shared/core/errors.ts';
import { ColdPlace, MOVABLE_TAG } from '../shared/core/storage-class.ts';

const TAG_TEXT = `${MOVABLE_TAG.key}=${MOVABLE_TAG.value}`;

/**
 * Compares the lifecycle rules of an existing bucket with the required ones. Throws InvalidInputError for a rule that
 * deletes archives, or makes catalog records unreadable.
 *
 * @param prefix  the prefix of all keys of the deployment: '', or one that ends in `/`
 * @param moves   whether transitions to other storage classes are configured
 */
export function checkRules(
  Bucket: string,
  prefix: string,
  rules: readonly LifecycleRule[],
  moves: boolean,
): string | { warning: string } {
  const enabled = rules.filter(({ Status }) => Status === 'Enabled');
  const backups = prefix + BACKUPS;
  const deleting = enabled.find(
    (rule) => rule.Expiration?.Days !== undefined && backups.startsWith(prefixOf(rule)),
  );
  if (deleting) {
    throw new InvalidInputError(`Bucket ${Bucket} deletes archives by the rule "${deleting.ID}".`, {
      remedy: `Limit the rule to a prefix other than ${backups}: retention is for ngbak alone.`,
    });
  }
  const freezing = enabled.find((rule) => freezesRecords(rule, backups));
  if (freezing) {
    throw new InvalidInputError(
      `Bucket ${Bucket} moves catalog records to cold storage by the rule "${freezing.ID}", where they cannot be read.`,
      { remedy: `Add the tag ${TAG_TEXT} to the filter of the rule: only catalogued archives have it.` },
    );
  }
  if (moves && !enabled.some((rule) => movesArchives(rule, backups))) {
    return {
      warning: `Bucket ${Bucket} has no rule that moves archives to other storage classes, although "transitions" are configured: add one for ${backups} and the tag ${TAG_TEXT}, as docs/storage-classes.md shows.`,
    };
  }
  const uploads = enabled.some(
    (rule) => rule.AbortIncompleteMultipartUpload !== undefined && prefix.startsWith(prefixOf(rule)),
  );
  const jobs = enabled.some(
    (rule) => rule.Expiration?.Days !== undefined && prefixOf(rule) === prefix + JOBS,
  );
  if (uploads && jobs) return 'set';
  return {
    warning: `Bucket ${Bucket} has no rules ${prefix === '' ? '' : `for ${prefix} `}that remove job records after 90 days and unfinished uploads after 8 days: see "An existing bucket" in docs/deploy.md.`,
  };
}

function prefixOf({ Filter, Prefix }: LifecycleRule): string {
  return Filter?.Prefix ?? Filter?.And?.Prefix ?? Prefix ?? '';
}

/** The tags that a rule requires, as `key=value`. */
function tagsOf({ Filter }: LifecycleRule): string[] {
  const tags = [...(Filter?.Tag ? [Filter.Tag] : []), ...(Filter?.And?.Tags ?? [])];
  return tags.map(({ Key, Value }) => `${Key}=${Value}`);
}

/** Whether a rule moves records to a class in which they cannot be read: a size in its filter does not exclude them. */
function freezesRecords(rule: LifecycleRule, backups: string): boolean {
  const cold = rule.Transitions?.some(({ StorageClass }) => ColdPlace.safeParse(StorageClass).success);
  return cold === true && backups.startsWith(prefixOf(rule)) && tagsOf(rule).length === 0;
}

/** Whether a rule moves catalogued archives. */
function movesArchives(rule: LifecycleRule, backups: string): boolean {
  const tags = tagsOf(rule);
  const selects = backups.startsWith(prefixOf(rule)) && tags.length > 0;
  return selects && tags.every((tag) => tag === TAG_TEXT) && (rule.Transitions?.length ?? 0) > 0;
}
