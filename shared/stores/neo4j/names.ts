import { createHash } from 'node:crypto';

/**
 * Labels, properties, indexes and constraints whose names start with this prefix belong to ngbak and are never backed
 * up.
 */
export const RESERVED_PREFIX = '__ngbak_';
/** Prefix of the labels of nodes that a drill loads under scratch names. */
export const SCRATCH_PREFIX = 'ngbak_drill_';
/** The label under which a drill loads nodes of a label, so that other clients' queries do not find them. */
export function hiddenLabel(label: string): string {
  return `${SCRATCH_PREFIX}of_${label}`;
}

/** Property with a node's ID in the archive, set by the load and removed by `finish`. */
export const ID_PROPERTY = `${RESERVED_PREFIX}id`;
/** Set on nodes that a merge found in the target and left unchanged. */
export const KEPT_PROPERTY = `${RESERVED_PREFIX}kept`;
/** Set on relationships that a merge created; removed by `finish`. */
export const MERGED_PROPERTY = `${RESERVED_PREFIX}merged`;

/**
 * Quotes any name as a Cypher identifier. Cypher 5 replaces `\uXXXX` before it parses anything, even inside backticks,
 * so a name with such a sequence could end the identifier: its backslashes are escaped in that form.
 */
export function quote(name: string): string {
  return `\`${name.replaceAll('\\', '\\u005C').replaceAll('`', '``')}\``;
}

/** Names of ngbak's auxiliary objects on the server, already quoted where Cypher requires it. */
export interface AuxiliaryNames {
  /** Label of the nodes that a restore loaded, quoted. */
  readonly loaded: string;
  /** Label of the marker nodes that record which batches are committed, quoted. */
  readonly marker: string;
  /** Prefix of the names of ngbak's indexes and constraints, not quoted. */
  readonly schemaPrefix: string;
}

/**
 * The names for one scope. They depend on the scope and not on the job, because Neo4j never frees a label token:
 * however many restores run, they use only one. Two scopes of one database can be restored at the same time.
 */
export function auxiliaryNames(
  labels: readonly string[],
  tenants?: { readonly property: string; readonly values: readonly string[] },
): AuxiliaryNames {
  const ofLabels = labels.length === 0 ? 'database' : labels.map((label) => `label ${label}`).join(' and ');
  const ofTenants = tenants && JSON.stringify([labels, tenants.property, [...tenants.values].sort()]);
  const key = createHash('sha256')
    .update(ofTenants ?? ofLabels)
    .digest('hex')
    .slice(0, 12);
  return {
    loaded: quote(`${RESERVED_PREFIX}loaded_${key}`),
    marker: quote(`${RESERVED_PREFIX}marker_${key}`),
    schemaPrefix: `${RESERVED_PREFIX}${key}_`,
  };
}
