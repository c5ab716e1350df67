import { z } from 'zod';
import { isDotSegment } from './paths.ts';

/** Seconds until a call that should answer at once is given up. Snapshots have limits of their own. */
const TIMEOUT_SECONDS_DEFAULT = 60;

/** Address and credentials of a Qdrant server, as its secret in Secrets Manager holds them. */
export const QdrantConnection = z.strictObject({
  /** Address of the REST interface (port 6333 in a default set-up); a path is kept as prefix. */
  url: z.url({ protocol: /^https?$/ }).refine((url) => {
    const { username, password, search, hash } = new URL(url);
    return username === '' && password === '' && search === '' && hash === '';
  }, 'must not contain a user, password, query or fragment; put the key into "api_key"'),
  /** A key that may read, write and manage every collection of the scope. */
  api_key: z
    .string()
    .min(1)
    .regex(/^[\x21-\x7e]+$/, 'must be printable ASCII without blanks')
    .optional(),
  timeout_seconds: z.number().int().min(1).max(600).default(TIMEOUT_SECONDS_DEFAULT),
  /** Certificate authority of the server in PEM, where it is none of the well-known ones. */
  ca: z.string().startsWith('-----BEGIN CERTIFICATE-----').optional(),
});
export type QdrantConnection = z.infer<typeof QdrantConnection>;

/** Which part of the server belongs to the knowledge base. */
export const QdrantScope = z.strictObject({
  /** Names of collections, or aliases of them; absent for every collection of the server. */
  collections: z
    .array(
      z
        .string()
        .min(1)
        .max(255)
        .refine((name) => !isDotSegment(name), 'can\'t be "." or ".."'),
    )
    .min(1)
    .max(1000)
    .optional(),
  /** Only the points whose payload has this value at this key, as in LightRAG's shared collections. */
  filter: z
    .strictObject({
      key: z.string().min(1).max(255),
      value: z.union([z.string(), z.number().int(), z.boolean()]),
    })
    .optional(),
  /** How ids of points derive from the filter's value, so that they follow when a restore gives it another one. */
  point_ids: z
    .strictObject({
      /** The UUID of version 4 derived from SHA-256 over the filter's value and the text in `field` of the payload. */
      scheme: z.literal('sha256-uuid4'),
      field: z.string().min(1).max(255),
    })
    .optional(),
  /** How collections are saved: the server's own snapshots, portable points, or what fits each collection. */
  method: z.enum(['auto', 'snapshot', 'points']).default('auto'),
});
export type QdrantScope = z.infer<typeof QdrantScope>;
