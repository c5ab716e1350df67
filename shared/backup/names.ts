import { findTarget, type NgbakConfig } from '../config.ts';
import { InvalidInputError } from '../errors.ts';

/** `snapshot_2025-10-06T14-30-00Z`; backups of other targets than `default` carry the target's name as well. */
export function backupIdOf(target: string, start: string): string {
  const stamp = `${new Date(start).toISOString().slice(0, 19).replaceAll(':', '-')}Z`;
  return target === 'default' ? `snapshot_${stamp}` : `snapshot_${stamp}_${target}`;
}

/** The target a request means. Throws InvalidInputError where it names none and there are several. */
export function chooseTarget(config: NgbakConfig, wanted: string | undefined): string {
  const names = Object.keys(config.targets);
  const name = wanted ?? (names.includes('default') ? 'default' : names.length === 1 ? names[0] : undefined);
  if (name === undefined) {
    throw new InvalidInputError('The request names no target, and this deployment has several.', {
      remedy: `Add "target" with one of: ${names.join(', ')}.`,
    });
  }
  findTarget(config, name);
  return name;
}
