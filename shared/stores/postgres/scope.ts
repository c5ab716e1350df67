import { z } from 'zod';
import { isDrillSchema, RESERVED } from './names.ts';

/** Maximum length of a name in PostgreSQL, in bytes (NAMEDATALEN - 1). */
const NAME_BYTES_MAX = 63;

/** A name of PostgreSQL. It is quoted in statements. */
export const Name = z
  .string()
  .min(1)
  .refine(
    (name) => Buffer.byteLength(name) <= NAME_BYTES_MAX && !name.includes('\0') && name.isWellFormed(),
    {
      message: `must be a name of at most ${NAME_BYTES_MAX} bytes`,
    },
  )
  .refine((name) => name !== '__proto__', { message: 'is not supported' });

/** The name of a table, in which `*` stands for any characters and `?` for one. */
const Pattern = Name.refine((pattern) => (pattern.match(/\*/g)?.length ?? 0) <= 4, {
  message: 'must have at most 4 "*"',
});

/** Schema of PostgreSQL itself, or of ngbak's loads. */
const isOwned = (name: string) => /^pg_|^information_schema$/.test(name) || name.startsWith(RESERVED);

/** The tables, or the rows of some tenants in them, that belong to the knowledge base. */
export const PostgresScope = z.strictObject({
  schema: Name.refine((name) => !isOwned(name) || isDrillSchema(name), {
    message: 'is a schema of PostgreSQL or of ngbak',
  }).default('public'),
  /** Patterns of table names: a table belongs to the scope if one of them matches. */
  tables: z.array(Pattern).min(1).max(100).default(['*']),
  /** Patterns of tables that do not belong to the scope, although one of `tables` matches. */
  exclude: z.array(Pattern).min(1).max(100).optional(),
  /** Restricts it further to tables of these names: set by partial backups and restores. */
  only: z.array(Name).min(1).max(256).optional(),
  /** Restricts the scope to the rows that have one of these texts in this column, which each of its tables must have. */
  workspace: z
    .strictObject({
      column: Name,
      in: z
        .array(
          z
            .string()
            .max(1000)
            .refine((value) => !value.includes('\0'), { message: 'is not a text' }),
        )
        .min(1)
        .max(1000),
    })
    .optional(),
});
export type PostgresScope = z.infer<typeof PostgresScope>;
export type Workspace = NonNullable<PostgresScope['workspace']>;

/** Tests whether a table belongs to a scope, by its name. */
export function tableFilter({ tables, exclude = [], only }: PostgresScope): (name: string) => boolean {
  const included = tables.map(toExpression);
  const excluded = exclude.map(toExpression);
  return (name) =>
    !name.startsWith(RESERVED) &&
    only?.includes(name) !== false &&
    included.some((pattern) => pattern.test(name)) &&
    !excluded.some((pattern) => pattern.test(name));
}

function toExpression(pattern: string): RegExp {
  const escaped = pattern.replaceAll(/[\\^$.|+()[\]{}]/g, '\\$&');
  return new RegExp(`^${escaped.replaceAll('*', '.*').replaceAll('?', '.')}$`, 'su');
}
