import { z } from 'zod';

const SCHEMES = /^(neo4j|bolt)(\+s|\+ssc)?:\/\/[^\s/@]+$/;

/** Shape of the connection secret of a Neo4j store. */
export const Neo4jConnection = z.strictObject({
  /** `neo4j://` (routing), `bolt://` (one server), with `+s` for TLS and `+ssc` for TLS that trusts any certificate. */
  uri: z.string().regex(SCHEMES, 'must be like neo4j+s://host:7687, without a user or a path'),
  username: z.string().min(1),
  password: z.string().min(1),
  /** Left out: the user's home database. */
  database: z.string().min(1).optional(),
  /** Certificates in PEM of the authorities to trust instead of the system's, for servers with their own. */
  ca: z.string().includes('-----BEGIN CERTIFICATE-----').optional(),
});
export type Neo4jConnection = z.infer<typeof Neo4jConnection>;

/** Which part of the database belongs to the knowledge base. */
export const Neo4jScope = z
  .strictObject({
    /** Only nodes with this label, the relationships among them, and those that lead out. Left out: everything. */
    label: z.string().min(1).optional(),
    /** Of these, only nodes that have this label too, such as the type of an entity. */
    also_label: z.string().min(1).optional(),
    /** Property that tells a node from all others of the scope (`id`, `entity_id`). Merging needs one. */
    key_property: z.string().min(1).optional(),
  })
  .refine(({ label, also_label }) => also_label === undefined || label !== undefined, {
    message: 'needs "label"',
    path: ['also_label'],
  });
export type Neo4jScope = z.infer<typeof Neo4jScope>;
