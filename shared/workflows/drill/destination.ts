import { z } from 'zod';
import type { Rehearsal } from '../../catalog/drill-request.ts';
import { findTarget, type NgbakConfig } from '../../core/config.ts';
import { InvalidInputError } from '../../core/errors.ts';
import { Id } from '../../core/ids.ts';

/** The source target and the destination of a drill. */
export const DrillPlace = z.object({
  /** The target whose backup is restored. */
  of: Id,
  /**
   * `names`: under scratch names on the servers of that target. `target`: into a target that is dedicated to drills.
   * `none`: a rehearsal, which restores nothing.
   */
  place: z.enum(['names', 'target', 'none']),
  /** True if a rehearsal takes its place if there are no scratch names. */
  or_rehearse: z.boolean().optional(),
  /** Why a rehearsal takes the place of a drill, if it was not requested. */
  reason: z.string().optional(),
});
export type DrillPlace = z.infer<typeof DrillPlace>;

/** Whether a restore is a rehearsal: it reads, inspects and parses, and writes to no store. */
export function isRehearsal({ drill }: { readonly drill?: DrillPlace | undefined }): boolean {
  return drill?.place === 'none';
}

/** Whether a target is dedicated to drills. */
function isForDrills(config: NgbakConfig, target: string): boolean {
  return findTarget(config, target).drills_of !== undefined;
}

/**
 * The destination for drills of a target: the target that lists it in `drills_of`, otherwise scratch names on its own
 * servers; none for a rehearsal. Throws InvalidInputError for a target that is itself dedicated to drills, or if several targets are
 * dedicated to its drills.
 */
export function drillDestination(
  config: NgbakConfig,
  target: string,
  rehearsal: Rehearsal = 'never',
): { readonly target: string; readonly drill: DrillPlace } {
  if (isForDrills(config, target)) {
    throw new InvalidInputError(
      `Target "${target}" is used only for drills of other targets and has no backups.`,
      {
        remedy: `Start a drill of: ${findTarget(config, target).drills_of?.join(', ')}.`,
      },
    );
  }
  if (rehearsal === 'always') return { target, drill: { of: target, place: 'none' } };
  const [name, ...others] = Object.entries(config.targets).flatMap(([other, { drills_of }]) =>
    drills_of?.includes(target) ? [other] : [],
  );
  if (others.length > 0) {
    throw new InvalidInputError(
      `Several targets are configured for drills of target "${target}": ${[name, ...others].join(', ')}.`,
      { remedy: 'Leave it in "drills_of" of one of them in cdk.json, and deploy.' },
    );
  }
  return name === undefined
    ? {
        target,
        drill: { of: target, place: 'names', ...(rehearsal === 'if_needed' ? { or_rehearse: true } : {}) },
      }
    : { target: name, drill: { of: target, place: 'target' } };
}

/**
 * Throws InvalidInputError if a target is dedicated to drills: nothing else may write to it, or back up its contents.
 */
export function refuseDrillTarget(config: NgbakConfig, target: string): void {
  if (!isForDrills(config, target)) return;
  throw new InvalidInputError(`Target "${target}" is used for drills only ("drills_of").`, {
    remedy: 'Choose another target, or remove "drills_of" from it in cdk.json and deploy.',
  });
}

/**
 * The name of the lock that a job holds. Drills have a separate one, so that they do not block backups and restores of
 * the target. No target can have that name.
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
