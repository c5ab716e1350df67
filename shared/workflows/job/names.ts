import type { Bucket } from '../../aws/bucket.ts';
import { BACKUPS } from '../../aws/keys.ts';
import { backedUpTargets, findTarget, type NgbakConfig } from '../../core/config.ts';
import { InvalidInputError } from '../../core/errors.ts';

/**
 * Maximum number of backups of one target that can begin in the same second, one after another. More than can occur in
 * practice.
 */
const IDS_OF_A_SECOND = 100;

/**
 * `snapshot_2025-10-06T14-30-00Z`. Backups of targets other than `default` also contain the target's name. The second,
 * third, … backup of the same second has `-2`, `-3`, … after the `Z`, which cannot be confused with a target's name.
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
 * The first id of that second that neither an archive nor a catalog record uses. The caller must hold the target's
 * lock, so that no other job takes the id. Throws InvalidInputError if all hundred are in use.
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

/** The target of a request. Throws InvalidInputError if none is named and there are several. */
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
