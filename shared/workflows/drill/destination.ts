import { z } from 'zod';
import { findTarget, type NgbakConfig } from '../../core/config.ts';
import { InvalidInputError } from '../../core/errors.ts';
import { Id } from '../../core/ids.ts';

/** Whose backup a drill restores, and where. */
export const DrillPlace = z.object({
  /** The target whose backup is restored. */
  of: Id,
  /** `names`: under scratch names on the servers of that target. `target`: into a target that is there for drills. */
  place: z.enum(['names', 'target']),
});
export type DrillPlace = z.infer<typeof DrillPlace>;

/** Whether a target is there for drills only. */
export function isForDrills(config: NgbakConfig, target: string): boolean {
  return findTarget(config, target).drills_of !== undefined;
}

/**
 * Where drills of a target restore to: the target that names it in `drills_of`, otherwise scratch names on its own servers.
 * Throws InvalidInputError for a target that is itself for drills, and if several targets are for its drills.
 */
export function drillDestination(
  config: NgbakConfig,
  target: string,
): { readonly target: string; readonly drill: DrillPlace } {
  if (isForDrills(config, target)) {
    throw new InvalidInputError(`Target "${target}" is there for drills of others and has no backups.`, {
      remedy: `Start a drill of: ${findTarget(config, target).drills_of?.join(', ')}.`,
    });
  }
  const [name, ...others] = Object.entries(config.targets).flatMap(([other, { drills_of }]) =>
    drills_of?.includes(target) ? [other] : [],
  );
  if (others.length > 0) {
    throw new InvalidInputError(
      `Several targets are there for drills of target "${target}": ${[name, ...others].join(', ')}.`,
      { remedy: 'Leave it in "drills_of" of one of them in cdk.json, and deploy.' },
    );
  }
  return name === undefined
    ? { target, drill: { of: target, place: 'names' } }
    : { target: name, drill: { of: target, place: 'target' } };
}

/** Throws InvalidInputError if a target is there for drills only: nothing else may write to it or keep what it holds. */
export function refuseDrillTarget(config: NgbakConfig, target: string): void {
  if (!isForDrills(config, target)) return;
  throw new InvalidInputError(`Target "${target}" is there for drills only ("drills_of").`, {
    remedy: 'Choose another target, or remove "drills_of" from it in cdk.json and deploy.',
  });
}

/**
 * What a job holds the lock of. A drill has one of its own, so that it keeps no backup or restore of the target waiting; no
 * target has such a name.
 */
export function lockNameOf({
  target,
  drill,
}: {
  readonly target: string;
  readonly drill?: DrillPlace | undefined;
}): string {
  return drill === undefined ? target : `drill.${target}`;
}
