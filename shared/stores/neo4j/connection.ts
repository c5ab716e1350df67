import { z } from 'zod';

const SCHEMES = /^(neo4j|bolt)(\+s|\+ssc)?:\/\/[^\s/@]+$/;

/** Schema of the connection secret of a Neo4j store. */
export const Neo4jConnection = z.strictObject({
  /** `neo4j://` (routing), `bolt://` (one server), with `+s` for TLS and `+ssc` for TLS that trusts any certificate. */
  uri: z.string().regex(SCHEMES, 'must be like neo4j+s://host:7687, without a user or a path'),
  username: z.string().min(1),
  password: z.string().min(1),
  /** Default: the user's home database. */
  database: z.string().min(1).optional(),
  /** PEM certificates of the authorities to trust instead of the system's, for servers with a private CA. */
  ca: z.string().includes('-----BEGIN CERTIFICATE-----').optional(),
});
export type Neo4jConnection = z.infer<typeof Neo4jConnection>;

/** The part of the database that belongs to the knowledge base. */
export const Neo4jScope = z
  .strictObject({
    /**
     * Restricts the scope to nodes with this label, the relationships between them, and their dangling relationships.
     * Default: everything.
     */
    label: z.string().min(1).optional(),
    /** Restricts it further to nodes that also have this label, such as an entity type. */
    also_label: z.string().min(1).optional(),
    /** Property that uniquely identifies a node in the scope (`id`, `entity_id`). Required for merging. */
    key_property: z.string().min(1).optional(),
  })
  .refine(({ label, also_label }) => also_label === undefined || label !== undefined, {
    message: 'needs "label"',
    path: ['also_label'],
  });
export type Neo4jScope = z.infer<typeof Neo4jScope>;
