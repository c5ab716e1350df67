import { z } from 'zod';
import { RESERVED_PREFIX } from './names.ts';

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

/** A property's name, which is quoted in queries. */
const PropertyName = z
  .string()
  .min(1)
  .max(255)
  .refine((name) => !name.startsWith(RESERVED_PREFIX) && !name.includes('\0') && name !== '__proto__', {
    message: 'is not a name that a property can have',
  });

/** The value that identifies a tenant, which may be empty. It is a parameter of queries, never part of their text. */
const TenantValue = z
  .string()
  .max(1000)
  .refine((value) => value !== '__proto__', { message: 'is not supported' });

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
    /**
     * Restricts the scope to nodes that have one of the texts of `in` in this property, such as the tenants of Graphiti
     * (`group_id`). Relationships belong to the scope by their ends, as with a label.
     */
    property: PropertyName.optional(),
    in: z.array(TenantValue).min(1).max(1000).optional(),
    /** Property that uniquely identifies a node in the scope (`id`, `entity_id`). Required for merging. */
    key_property: z.string().min(1).optional(),
  })
  .refine(({ label, also_label }) => also_label === undefined || label !== undefined, {
    message: 'needs "label"',
    path: ['also_label'],
  })
  .refine(({ property, in: values }) => (property === undefined) === (values === undefined), {
    message: '"property" and "in" need each other',
    path: ['in'],
  })
  .refine(({ in: values }) => values === undefined || new Set(values).size === values.length, {
    message: 'has a value twice',
    path: ['in'],
  })
  .refine(({ property, key_property: key }) => property === undefined || property !== key, {
    message: 'identifies a node, so it cannot tell tenants apart',
    path: ['property'],
  });
export type Neo4jScope = z.infer<typeof Neo4jScope>;
