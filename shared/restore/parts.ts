import { z } from 'zod';
import { AnyJson } from '../input.ts';

const Name = z.string().min(1).max(255);

/** What a restore takes of an archive and what it is called afterwards: fields of `RestoreOptions`. */
export const PARTS = {
  /** Only this part of the archive, in the archive's own names. Stores that it says nothing about are left alone. */
  only: z
    .strictObject({
      /** Label of the nodes to take, of an archive that holds a whole database. */
      label: Name.optional(),
      collections: z.array(Name).min(1).max(1000).optional(),
      /** Namespaces of key-value data, such as `text_chunks`. */
      namespaces: z.array(Name).min(1).max(256).optional(),
      key_prefixes: z.array(Name).min(1).max(64).optional(),
    })
    .refine((only) => Object.values(only).some((value) => value !== undefined), 'must name something')
    .optional(),
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

/** The stores that `only` names something of; undefined where it does not limit the stores. */
export function storesNamed(only: z.infer<typeof PARTS.only>): ('graph' | 'vectors' | 'kv')[] | undefined {
  if (!only) return undefined;
  return [
    ...(only.label === undefined ? [] : (['graph'] as const)),
    ...(only.collections === undefined ? [] : (['vectors'] as const)),
    ...(only.namespaces === undefined && only.key_prefixes === undefined ? [] : (['kv'] as const)),
  ];
}
