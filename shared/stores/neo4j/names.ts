import { createHash } from 'node:crypto';

/** Labels, properties, indexes and constraints whose names start like this are ours and never part of a backup. */
export const RESERVED_PREFIX = '__ngbak_';
/** The labels of nodes that a drill has loaded under scratch names start like this. */
export const SCRATCH_PREFIX = 'ngbak_drill_';
/** Property that holds a node's id within the archive, from its load until `finish`. */
export const ID_PROPERTY = `${RESERVED_PREFIX}id`;
/** Set on nodes that a merge found in the target and left as they were. */
export const KEPT_PROPERTY = `${RESERVED_PREFIX}kept`;
/** Set on relationships that a merge created, until `finish`. */
export const MERGED_PROPERTY = `${RESERVED_PREFIX}merged`;

/**
 * A name as a Cypher identifier, whatever characters it has. Cypher 5 replaces `\uXXXX` before it reads anything else,
 * inside of back-ticks too, so a name that holds such a text could end the identifier: its backslashes are written that way.
 */
export function quote(name: string): string {
  return `\`${name.replaceAll('\\', '\\u005C').replaceAll('`', '``')}\``;
}

/** Names of our auxiliary things on the server, already quoted where Cypher wants them. */
export interface AuxiliaryNames {
  /** Label of the nodes that a restore loaded, quoted. */
  readonly loaded: string;
  /** Label of the nodes that say which batches are committed, quoted. */
  readonly marker: string;
  /** Start of the names of our indexes and constraints, not quoted. */
  readonly schemaPrefix: string;
}

/**
 * The names for one scope. They depend on the scope and not on the job, because Neo4j never forgets a label's token:
 * any number of restores leaves one. Two scopes of one database can be restored at the same time.
 */
export function auxiliaryNames(labels: readonly string[]): AuxiliaryNames {
  const key = createHash('sha256')
    .update(labels.length === 0 ? 'database' : labels.map((label) => `label ${label}`).join(' and '))
    .digest('hex')
    .slice(0, 12);
  return {
    loaded: quote(`${RESERVED_PREFIX}loaded_${key}`),
    marker: quote(`${RESERVED_PREFIX}marker_${key}`),
    schemaPrefix: `${RESERVED_PREFIX}${key}_`,
  };
}
