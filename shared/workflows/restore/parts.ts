import { z } from 'zod';
import { AnyJson } from '../../core/input.ts';
import { Subset } from '../../core/subset.ts';

const Name = z.string().min(1).max(255);

/** The parts of an archive that a restore loads, and their names at the destination: fields of `RestoreOptions`. */
export const PARTS = {
  /** Only this subset of the archive, in the archive's own names. Stores that it does not mention are left alone. */
  only: Subset.optional(),
  /**
   * Names at the destination, instead of those in the target's configuration. The connections remain those of the
   * target.
   */
  rename: z
    .strictObject({
      /**
       * Parameters of the target's profile, such as `{"namespace": "copy"}` or `{"workspace": "b"}`. All names that
       * depend on them change accordingly.
       */
      parameters: z.record(z.string(), AnyJson).optional(),
      label: Name.optional(),
      key_prefix: Name.optional(),
      /** By name in the archive. */
      collections: z.record(Name, Name).optional(),
    })
    .optional(),
  /**
   * Dangling relationships. `stitch` attaches them if the node at the other end exists, `prune` drops them, `defer`
   * attaches those it can and keeps the others for `ngbak attach`. Default: `stitch`, but `prune` if the label is
   * renamed, so that a copy does not connect to the original's neighbours.
   */
  dangling: z.enum(['prune', 'stitch', 'defer']).optional(),
  /** Writes the origin onto nodes and points: `restored_from_backup`, `backup_timestamp`, `original_…`. */
  label_origin: z.boolean().optional(),
} as const;
