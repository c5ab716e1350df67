import { z } from 'zod';
import { AnyJson } from '../../core/input.ts';
import { Subset } from '../../core/subset.ts';

const Name = z.string().min(1).max(255);

/** What a restore takes of an archive and what it is called afterwards: fields of `RestoreOptions`. */
export const PARTS = {
  /** Only this part of the archive, in the archive's own names. Stores that it says nothing about are left alone. */
  only: Subset.optional(),
  /** Names at the destination, in place of those that the target is configured with. Connections stay the target's. */
  rename: z
    .strictObject({
      /** Of the target's profile, such as `{"namespace": "copy"}` or `{"workspace": "b"}`: all that they name follows. */
      parameters: z.record(z.string(), AnyJson).optional(),
      label: Name.optional(),
      key_prefix: Name.optional(),
      /** By name in the archive. */
      collections: z.record(Name, Name).optional(),
    })
    .optional(),
  /**
   * Relationships that lead out of what the archive holds. `stitch` attaches them where the node at the other end is
   * there, `prune` drops them, `defer` attaches what it can and keeps the others for `ngbak attach`. Left out: `stitch`,
   * but `prune` where the label is renamed, so that a copy leaves the original's neighbours alone.
   */
  dangling: z.enum(['prune', 'stitch', 'defer']).optional(),
  /** Writes onto nodes and points where they come from: `restored_from_backup`, `backup_timestamp`, `original_…`. */
  label_origin: z.boolean().optional(),
} as const;
