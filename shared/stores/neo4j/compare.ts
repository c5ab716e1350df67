import type { Node, Relationship } from 'neo4j-driver-core';
import type { Difference } from '../restore-leg.ts';
import { canonicalNode, type NodeLine, placedRelationship, type RelationshipLine } from './lines.ts';
import { ID_PROPERTY, KEPT_PROPERTY, MERGED_PROPERTY } from './names.ts';
import type { Neo4jSite } from './site.ts';
import type { Properties } from './values.ts';
import { placesOf } from './write.ts';

/** The differences found in a batch, and which of its records match. */
export interface GraphComparison {
  readonly differences: readonly Difference[];
  /** Indexes within the batch of the records found as in the archive. */
  readonly found: ReadonlySet<number>;
  /** Indexes of the relationships that cannot exist in the target because one of their ends is not loaded. */
  readonly unplaced: ReadonlySet<number>;
}

/** Looks up the nodes of a batch by the IDs that the load assigned, and compares each with its line. */
export async function compareNodes(
  { server, scope, context }: Neo4jSite,
  nodes: readonly NodeLine[],
): Promise<GraphComparison> {
  const rows = await server.read(
    'reading nodes back',
    `UNWIND $ids AS i MATCH (n:${scope.names.loaded} {${ID_PROPERTY}: i}) RETURN i, n`,
    { ids: nodes.map(({ id }) => id) },
    context.signal,
  );
  const read = new Map(rows.map(({ i, n }) => [i, n as Node<bigint>]));
  const differences: Difference[] = [];
  const found = new Set<number>();
  for (const [index, node] of nodes.entries()) {
    const other = read.get(node.id);
    if (other === undefined) {
      differences.push({ thing: nodeName(node, scope.keyProperty), problem: 'is missing in the target' });
    } else if (
      // A merge with `keep` marks the nodes that it left unchanged.
      other.properties[KEPT_PROPERTY] !== true &&
      canonicalNode(other) !== canonicalNode(node)
    ) {
      const problem = nodeProblem(node, other);
      differences.push({ thing: nodeName(node, scope.keyProperty), problem });
    } else {
      found.add(index);
    }
  }
  return { differences, found, unplaced: new Set() };
}

/**
 * Looks up each relationship of a batch between the nodes that the load assigned its end IDs to. Parallel relationships
 * with the same content must occur as often as in the batch.
 */
export async function compareRelationships(
  { server, scope, context, options }: Neo4jSite,
  relationships: readonly RelationshipLine[],
): Promise<GraphComparison> {
  const { match, column, rows } = placesOf(scope, relationships, ({ type }, index) => ({
    index: BigInt(index),
    type,
  }));
  const placed = new Set<number>();
  /** By ends and type: how often each content occurs, and whether any relationship existed before the merge. */
  const groups = new Map<string, { contents: Map<string, number>; hasOlder: boolean }>();
  const answer = await server.read(
    'reading relationships back',
    `${match}
     OPTIONAL MATCH (s)-[r]->(e) WHERE type(r) = ${column('type')}
     WITH s, e, ${column('start')} AS start, ${column('end')} AS end, ${column('type')} AS type,
       collect(DISTINCT ${column('index')}) AS indexes, collect(DISTINCT r) AS found
     RETURN start, end, type, indexes, found`,
    { rows },
    context.signal,
  );
  for (const row of answer) {
    for (const index of row.indexes as bigint[]) placed.add(Number(index));
    const contents = new Map<string, number>();
    let hasOlder = false;
    for (const { type, properties } of row.found as Relationship<bigint>[]) {
      const content = placedRelationship(type, properties as Properties, String(row.start), String(row.end));
      contents.set(content, (contents.get(content) ?? 0) + 1);
      hasOlder ||= (properties as Properties)[MERGED_PROPERTY] !== true;
    }
    groups.set(groupKey(String(row.start), String(row.end), String(row.type)), { contents, hasOlder });
  }
  const differences: Difference[] = [];
  const found = new Set<number>();
  const unplaced = new Set<number>();
  for (const [index, line] of relationships.entries()) {
    if (!placed.has(index)) {
      unplaced.add(index);
      continue;
    }
    const group = groups.get(groupKey(line.start.id, line.end.id, line.type));
    const content = placedRelationship(line.type, line.properties, line.start.id, line.end.id);
    const left = group?.contents.get(content) ?? 0;
    // A merge accepts equal relationships that existed before for every copy in the archive.
    if (left > 0 || (group?.hasOlder && group.contents.has(content) && options.mode === 'merge')) {
      group?.contents.set(content, left - 1);
      found.add(index);
    } else if (options.mode === 'merge' && options.onConflict === 'keep' && group?.hasOlder) {
      found.add(index);
    } else {
      const problem = group?.contents.size
        ? 'has other properties in the target'
        : 'is missing in the target';
      differences.push({ thing: relationshipName(line), problem });
    }
  }
  return { differences, found, unplaced };
}

function groupKey(start: string, end: string, type: string): string {
  return `${start} ${end} ${type}`;
}

function nodeProblem(node: NodeLine, other: Node<bigint>): string {
  const bare = (labels: readonly string[]) => canonicalNode({ labels, properties: {} });
  return bare(node.labels) === bare(other.labels)
    ? 'has other properties in the target'
    : 'has other labels in the target';
}

/** Describes a node: labels and key, otherwise its ID in the archive. */
export function nodeName({ id, labels, properties }: NodeLine, keyProperty: string | undefined): string {
  const key = keyProperty === undefined ? undefined : properties[keyProperty];
  const name =
    typeof key === 'string' || typeof key === 'bigint' ? quoteKey(key) : `number ${id} of the archive`;
  return `node ${labels.length === 0 ? '' : `:${labels.join(':')} `}${name}`;
}

/** Describes a relationship: its type and the keys of its ends. */
export function relationshipName({ type, start, end }: RelationshipLine): string {
  const name = ({ id, properties }: RelationshipLine['start']) => {
    const [key] = Object.values(properties);
    return typeof key === 'string' || typeof key === 'bigint' ? quoteKey(key) : `node ${id} of the archive`;
  };
  return `relationship ${type} ${name(start)} → ${name(end)}`;
}

function quoteKey(key: string | bigint): string {
  return JSON.stringify(String(key).slice(0, 100));
}
