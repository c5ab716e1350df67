import { z } from 'zod';
import { isDotSegment } from './paths.ts';

/** Timeout of quick calls in seconds. Snapshots have their own limits. */
const TIMEOUT_SECONDS_DEFAULT = 60;

/** Address and credentials of a Qdrant server, as stored in its secret in Secrets Manager. */
export const QdrantConnection = z.strictObject({
  /** Address of the REST API (port 6333 by default). A path is kept as a prefix. */
  url: z.url({ protocol: /^https?$/ }).refine((url) => {
    const { username, password, search, hash } = new URL(url);
    return username === '' && password === '' && search === '' && hash === '';
  }, 'must not contain a user, password, query or fragment; put the key into "api_key"'),
  /** An API key that may read, write and manage every collection in the scope. */
  api_key: z
    .string()
    .min(1)
    .regex(/^[\x21-\x7e]+$/, 'must be printable ASCII without blanks')
    .optional(),
  timeout_seconds: z.number().int().min(1).max(600).default(TIMEOUT_SECONDS_DEFAULT),
  /** Certificate authority of the server in PEM format, if it is not a public one. */
  ca: z.string().startsWith('-----BEGIN CERTIFICATE-----').optional(),
});
export type QdrantConnection = z.infer<typeof QdrantConnection>;

/** The part of the server that belongs to the knowledge base. */
export const QdrantScope = z.strictObject({
  /** Names of collections, or aliases of them. If absent, every collection on the server. */
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
  /** Limits the scope to points whose payload has this value at this key, as in LightRAG's shared collections. */
  filter: z
    .strictObject({
      key: z.string().min(1).max(255),
      value: z.union([z.string(), z.number().int(), z.boolean()]),
    })
    .optional(),
  /**
   * How point IDs are derived from the filter's value, so that they can be rewritten if a restore changes the value.
   */
  point_ids: z
    .strictObject({
      /** UUID version 4 derived from the SHA-256 of the filter's value and the text in payload field `field`. */
      scheme: z.literal('sha256-uuid4'),
      field: z.string().min(1).max(255),
    })
    .optional(),
  /** How collections are saved: as Qdrant snapshots, as portable points, or whichever suits each collection. */
  method: z.enum(['auto', 'snapshot', 'points']).default('auto'),
});
export type QdrantScope = z.infer<typeof QdrantScope>;
