import { createHash } from 'node:crypto';
import type { Node, Relationship } from 'neo4j-driver-core';
import { InvalidInputError } from '../../core/errors.ts';
import type { Run } from './auxiliary.ts';
import { nodeName, relationshipName } from './compare.ts';
import { canonicalNode, type NodeLine, placedRelationship, type RelationshipLine } from './lines.ts';
import { ID_PROPERTY, KEPT_PROPERTY, MERGED_PROPERTY, quote, RESERVED_PREFIX } from './names.ts';
import type { SchemaRow } from './schema.ts';
import type { ScopeText } from './scope.ts';
import type { Neo4jSite } from './site.ts';
import type { Properties } from './values.ts';
import { createNodes, createRelationships, placesOf } from './write.ts';

/** Maximum wait for the index that a merge uses to find nodes, in seconds. */
const INDEX_WAIT_SECONDS = 600n;

const MERGE_REMEDY =
  'Merge with "on_conflict" keep or overwrite, or replace the graph. Changes merged so far are rolled back from the safety backup.';

/**
 * Ensures that nodes can be looked up by label and key: without an index, every lookup would scan the whole label.
 * `finish` drops the index that ngbak creates; if the target already has a suitable one, that is used.
 */
export async function indexKeys(
  { server, scope, context }: Neo4jSite,
  nodes: readonly NodeLine[],
  indexed: Set<string>,
): Promise<void> {
  const key = keyPropertyOf(scope.keyProperty);
  const labels = new Set(nodes.map((node) => matchLabel(scope.label, node)));
  const missing = [...labels].filter((label) => !indexed.has(label));
  if (missing.length === 0) return;
  for (const label of missing) {
    await server.schema(
      'creating the index that a merge needs',
      `CREATE INDEX ${quote(keyIndexName(scope, label))} IF NOT EXISTS
       FOR (n:${quote(label)}) ON (n.${quote(key)})`,
      context.signal,
    );
    indexed.add(label);
  }
  // Awaits the index by name: awaiting all indexes of the database would include those of other applications, and fail
  // if one of them fails.
  for (const label of missing) {
    const name = keyIndexName(scope, label);
    const [existing] = await server.read(
      'looking for the index that a merge needs',
      'SHOW INDEXES YIELD name WHERE name = $name RETURN name',
      { name },
      context.signal,
    );
    if (!existing) continue;
    await server.read(
      'waiting for the index that a merge needs',
      'CALL db.awaitIndex($name, $seconds)',
      { name, seconds: INDEX_WAIT_SECONDS },
      context.signal,
    );
  }
}

/**
 * Drops ngbak's index if the archive has a constraint or index for the same label and property: the server does not
 * allow both, and would reject the constraint.
 */
export async function makeRoomFor({ server, scope, context }: Neo4jSite, row: SchemaRow): Promise<void> {
  const [label, property] = [row.tokens[0], row.properties[0]];
  const isKeyIndex = row.entity === 'NODE' && row.tokens.length === 1 && row.properties.length === 1;
  if (!isKeyIndex || label === undefined || property !== scope.keyProperty) return;
  if (row.type === 'index' && row.kind !== 'RANGE') return;
  await server.schema(
    'removing the auxiliary index of a merge',
    `DROP INDEX ${quote(keyIndexName(scope, label))} IF EXISTS`,
    context.signal,
  );
}

function keyIndexName(scope: ScopeText, label: string): string {
  const hash = createHash('sha256').update(label).digest('hex').slice(0, 12);
  return `${scope.names.schemaPrefix}key_${hash}`;
}

/** Throws if a batch of nodes cannot be merged, before anything is written. */
export async function checkNodes({ server, scope, options, context }: Neo4jSite, nodes: readonly NodeLine[]) {
  const matches = await server.write('looking for nodes to merge with', context.signal, (run) =>
    findMatches(run, scope, keyPropertyOf(scope.keyProperty), nodes),
  );
  for (const [index, match] of matches) {
    const node = nodes[index];
    if (node && options.onConflict === 'fail' && !isSame(node, match))
      throw conflict(nodeName(node, scope.keyProperty));
  }
}

/** Merges a batch of nodes: creates new ones, and handles existing ones according to `onConflict`. */
export async function mergeNodes(run: Run, site: Neo4jSite, nodes: readonly NodeLine[]): Promise<void> {
  const { scope, version, options } = site;
  const matches = await findMatches(run, scope, keyPropertyOf(scope.keyProperty), nodes);
  const created: NodeLine[] = [];
  const marked: Properties[] = [];
  const overwritten: Properties[] = [];
  for (const [index, node] of nodes.entries()) {
    const match = matches.get(index);
    if (match === undefined) {
      created.push(node);
    } else if (match.properties[ID_PROPERTY] !== undefined) {
      throw ambiguous(nodeName(node, scope.keyProperty), 'the archive');
    } else if (isSame(node, match)) {
      marked.push({ node: match.identity, id: node.id, kept: null });
    } else if (options.onConflict === 'keep') {
      marked.push({ node: match.identity, id: node.id, kept: true });
    } else if (options.onConflict === 'overwrite') {
      overwritten.push({
        node: match.identity,
        properties: { ...node.properties, [ID_PROPERTY]: node.id },
        labels: node.labels,
        removed: match.labels.filter((label) => !node.labels.includes(label)),
      });
    } else {
      throw conflict(nodeName(node, scope.keyProperty));
    }
  }
  const { loaded } = scope.names;
  if (marked.length > 0) {
    await run(
      `UNWIND $rows AS row MATCH (n) WHERE id(n) = row.node
       SET n:${loaded}, n.${ID_PROPERTY} = row.id, n.${KEPT_PROPERTY} = row.kept`,
      { rows: marked },
    );
  }
  if (overwritten.length > 0) {
    await run(
      `UNWIND $rows AS row MATCH (n) WHERE id(n) = row.node
       SET n = row.properties REMOVE n:$(row.removed) SET n:${loaded}:$(row.labels)`,
      { rows: overwritten },
    );
  }
  if (created.length > 0) await createNodes(run, scope, version, created);
}

/**
 * Merges a batch of relationships, and returns the indexes of those whose ends are loaded. All relationships of one
 * type from one node to another are treated as one record: if the target has any, `keep` leaves them unchanged,
 * `overwrite` replaces them with those of the archive, and `fail` fails unless they are equal.
 */
export async function mergeRelationships(
  run: Run,
  { scope, version, options }: Neo4jSite,
  relationships: readonly RelationshipLine[],
): Promise<Set<number>> {
  const { match, column, rows } = placesOf(scope, relationships, ({ type }, index) => ({
    index: BigInt(index),
    type,
  }));
  const found = await run(
    `${match}
     OPTIONAL MATCH (s)-[r]->(e) WHERE type(r) = ${column('type')} AND r.${MERGED_PROPERTY} IS NULL
     RETURN ${column('index')} AS index, collect(r) AS older`,
    { rows },
  );
  const created: RelationshipLine[] = [];
  const deleted = new Set<bigint>();
  for (const { index, older } of found) {
    const line = relationships[Number(index)];
    const found = older as Relationship<bigint>[];
    if (line === undefined) continue;
    if (found.length === 0) {
      created.push(line);
    } else if (options.onConflict === 'overwrite') {
      for (const { identity } of found) deleted.add(identity);
      created.push(line);
    } else if (options.onConflict === 'fail' && !found.some((other) => content(other) === content(line))) {
      throw conflict(relationshipName(line));
    }
  }
  if (deleted.size > 0) {
    await run('UNWIND $ids AS i MATCH ()-[r]->() WHERE id(r) = i DELETE r', { ids: [...deleted] });
  }
  if (created.length > 0) await createRelationships(run, scope, version, created, true);
  return new Set(found.map(({ index }) => Number(index)));
}

function content({ type, properties }: { type: string; properties: object }): string {
  return placedRelationship(type, properties as Properties, '', '');
}

/** The nodes of the target with the label and key of a line, by the line's index. */
async function findMatches(
  run: Run,
  scope: ScopeText,
  keyProperty: string,
  nodes: readonly NodeLine[],
): Promise<Map<number, Node<bigint>>> {
  const matches = new Map<number, Node<bigint>>();
  const rows = nodes.map((node, index) => ({
    index: BigInt(index),
    label: matchLabel(scope.label, node),
    key: keyOf(node, keyProperty),
  }));
  const seen = new Set<string>();
  // Nodes of other tenants may have the same label and key.
  const isOwn = scope.property === undefined ? '' : ` AND ${scope.contains('n')}`;
  for (const [label, group] of Map.groupBy(rows, (row) => row.label)) {
    for (const { index, key } of group) {
      const name = `${typeof key} ${key} ${label}`;
      const node = nodes[Number(index)];
      if (node && seen.has(name)) throw ambiguous(nodeName(node, keyProperty), 'the archive');
      seen.add(name);
    }
    const found = await run(
      `UNWIND $rows AS row MATCH (n:${quote(label)}) WHERE n.${quote(keyProperty)} = row.key${isOwn}
       RETURN row.index AS index, n`,
      { ...scope.parameters, rows: group },
    );
    for (const { index, n } of found) {
      const node = nodes[Number(index)];
      if (node && matches.has(Number(index))) throw ambiguous(nodeName(node, keyProperty), 'the target');
      matches.set(Number(index), n as Node<bigint>);
    }
  }
  return matches;
}

/** The label for looking up a node: the scope's, or for a whole database the node's first label. */
function matchLabel(scopeLabel: string | undefined, node: NodeLine): string {
  const label = scopeLabel ?? [...node.labels].sort().find((name) => !name.startsWith(RESERVED_PREFIX));
  if (label !== undefined) return label;
  throw new InvalidInputError(
    `Node ${node.id} of the archive has no label, so it cannot be matched in the target.`,
    {
      remedy: 'Replace the graph instead of merging.',
    },
  );
}

function keyOf(node: NodeLine, keyProperty: string): string | bigint {
  const key = Object.hasOwn(node.properties, keyProperty) ? node.properties[keyProperty] : undefined;
  if (typeof key === 'string' || typeof key === 'bigint') return key;
  throw new InvalidInputError(
    `Node ${node.id} of the archive has no text or integer in "${keyProperty}", so it cannot be matched in the target.`,
    {
      remedy:
        'Set "key_property" in the scope to one that every node has, or replace the graph instead of merging.',
    },
  );
}

function keyPropertyOf(keyProperty: string | undefined): string {
  if (keyProperty !== undefined) return keyProperty;
  throw new InvalidInputError('Merging a graph needs "key_property" in the scope.', {
    remedy: 'Set it in cdk.json under targets.<name>.stores.graph.scope and deploy, or replace the graph.',
  });
}

function isSame(node: NodeLine, other: Node<bigint>): boolean {
  return canonicalNode(node) === canonicalNode(other);
}

function conflict(thing: string): InvalidInputError {
  return new InvalidInputError(`The target has a different ${thing} than the archive.`, {
    remedy: MERGE_REMEDY,
  });
}

function ambiguous(thing: string, where: string): InvalidInputError {
  return new InvalidInputError(`There are two of ${thing} in ${where}, so it cannot be merged.`, {
    remedy: 'Make the key unique, or replace the graph instead of merging.',
  });
}
