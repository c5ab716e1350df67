import type { Bucket } from '../../aws/bucket.ts';
import { BACKUPS } from '../../aws/keys.ts';
import { backedUpTargets, findTarget, type NgbakConfig } from '../../core/config.ts';
import { InvalidInputError } from '../../core/errors.ts';

/** Backups of one target that may begin in the same second, one after the other: more than there is time for. */
const IDS_OF_A_SECOND = 100;

/**
 * `snapshot_2025-10-06T14-30-00Z`; backups of other targets than `default` carry the target's name as well. The second,
 * third, … of the same second has `-2`, `-3`, … after the `Z`, which no target's name can be mistaken for.
 */
export function backupIdOf(target: string, start: string, number = 1): string {
  const second = new Date(start).toISOString().slice(0, 19).replaceAll(':', '-');
  const stamp = number === 1 ? `${second}Z` : `${second}Z-${number}`;
  return target === 'default' ? `snapshot_${stamp}` : `snapshot_${stamp}_${target}`;
}

/** `backup_20251006_143000.ngbak`: the time of the backup in UTC. */
export function downloadName({ created_at }: { readonly created_at: string }): string {
  const digits = new Date(created_at).toISOString().replaceAll(/\D/g, '');
  return `backup_${digits.slice(0, 8)}_${digits.slice(8, 14)}.ngbak`;
}

/**
 * The first id of that second that no archive and no catalog record has. To be called under the target's lock, so that
 * nobody else takes it. Throws InvalidInputError where a hundred are taken.
 */
export async function freeBackupId(bucket: Bucket, target: string, start: string): Promise<string> {
  for (let number = 1; number <= IDS_OF_A_SECOND; number++) {
    const id = backupIdOf(target, start, number);
    const taken = await bucket.keys(`${BACKUPS}${id}.`).next();
    if (taken.done) return id;
  }
  throw new InvalidInputError(`${IDS_OF_A_SECOND} backups of target "${target}" began in one second.`, {
    remedy: 'Start the backup again.',
  });
}

/** The target a request means. Throws InvalidInputError where it names none and there are several. */
export function chooseTarget(config: NgbakConfig, wanted: string | undefined): string {
  const names = backedUpTargets(config);
  const name = wanted ?? (names.includes('default') ? 'default' : names.length === 1 ? names[0] : undefined);
  if (name === undefined) {
    throw new InvalidInputError('The request names no target, and this deployment has several.', {
      remedy: `Add "target" with one of: ${names.join(', ')}.`,
    });
  }
  findTarget(config, name);
  return name;
}
