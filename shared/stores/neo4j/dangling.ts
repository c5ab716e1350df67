import type { Node, Relationship } from 'neo4j-driver-core';
import type { Difference } from '../restore-leg.ts';
import type { TallyBook } from '../tally-book.ts';
import { commitBatch, type Run } from './auxiliary.ts';
import { relationshipName } from './compare.ts';
import { canonicalRelationship, type EndLine, placedRelationship, type RelationshipLine } from './lines.ts';
import { ID_PROPERTY, MERGED_PROPERTY, quote } from './names.ts';
import type { Outside, ScopeText } from './scope.ts';
import type { Neo4jSite } from './site.ts';
import type { Properties } from './values.ts';
import { groupBy, hasDynamicLabels } from './write.ts';

/** Internal IDs of the two ends of a relationship. */
interface Ends {
  readonly start: bigint;
  readonly end: bigint;
}

/**
 * Loads a batch of dangling relationships. `stitch` attaches those whose ends each match exactly one node of the
 * database by labels and key; the others, and all of them with `prune`, are counted as `left_out`.
 */
export async function loadDangling(
  site: Neo4jSite,
  lines: readonly RelationshipLine[],
  batch: number,
  book: TallyBook,
): Promise<void> {
  const { server, scope, options, context } = site;
  if (options.dangling !== 'stitch') {
    await commitBatch(server, scope, context, batch, async () => undefined);
    for (const line of lines) book.add('left_out', canonicalRelationship(line));
    return;
  }
  const committed = await commitBatch(server, scope, context, batch, async (run) => {
    const ends = await findEnds(run, site, lines);
    await attach(run, site, lines, ends);
    return ends;
  });
  const ends =
    committed ??
    (await server.write('looking for the ends of relationships', context.signal, (run) =>
      findEnds(run, site, lines),
    ));
  for (const [index, line] of lines.entries()) {
    book.add(ends.has(index) ? 'stitched' : 'left_out', canonicalRelationship(line));
  }
}

/** Verifies a batch: every relationship that could be attached must exist. */
export async function compareDangling(
  site: Neo4jSite,
  lines: readonly RelationshipLine[],
  book: TallyBook,
): Promise<Difference[]> {
  const { server, context } = site;
  const differences: Difference[] = [];
  await server.write('reading relationships back', context.signal, async (run) => {
    const ends = await findEnds(run, site, lines);
    const contents = await readContents(run, lines, ends, '');
    for (const index of ends.keys()) {
      const line = lines[index];
      if (!line) continue;
      if (contents.get(index)?.has(contentOf(line))) book.add('stitched', canonicalRelationship(line));
      else {
        const problem = contents.get(index)?.size
          ? 'has other properties in the target'
          : 'is missing in the target';
        differences.push({ thing: relationshipName(line), problem });
      }
    }
  });
  return differences;
}

/** Both ends by line number, for relationships whose ends each match exactly one node. */
async function findEnds(
  run: Run,
  site: Neo4jSite,
  lines: readonly RelationshipLine[],
): Promise<Map<number, Ends>> {
  const { scope } = site;
  // Labels and key are all that is known of an end; if a property defines the scope, the line states what is outside.
  const isInside = ({ labels, outside }: EndLine) =>
    scope.property === undefined ? scope.holds({ labels, properties: {} }) : outside === undefined;
  const inside = lines.flatMap(({ start, end }) => [start, end]).filter(isInside);
  const loaded = new Map<string, { id: bigint; properties: Properties }>();
  const rows = await run(`UNWIND $ids AS i MATCH (n:${scope.names.loaded} {${ID_PROPERTY}: i}) RETURN i, n`, {
    ids: [...new Set(inside.map(({ id }) => id))],
  });
  for (const { i, n } of rows) {
    const { identity, properties } = n as Node<bigint>;
    loaded.set(String(i), { id: identity, properties: properties as Properties });
  }
  const byKey = await findByKey(
    run,
    scope,
    lines.flatMap(({ start, end }) => [start, end]),
  );
  const resolve = (end: EndLine): bigint | undefined => {
    const [[key, value] = []] = Object.entries(end.properties);
    const node = isInside(end) ? loaded.get(end.id) : undefined;
    if (node) return key === undefined || node.properties[key] === value ? node.id : undefined;
    return byKey.get(endName(end, tenantOf(end, scope)));
  };
  const found = new Map<number, Ends>();
  for (const [index, line] of lines.entries()) {
    const [start, end] = [resolve(line.start), resolve(line.end)];
    if (start !== undefined && end !== undefined) found.set(index, { start, end });
  }
  return found;
}

/**
 * Finds nodes in the whole database by labels and key, and by the value of the property that defines the scope, since
 * several tenants may have the same keys. Omits those with no match or several.
 */
async function findByKey(run: Run, scope: ScopeText, ends: readonly EndLine[]): Promise<Map<string, bigint>> {
  const matches = new Map<string, bigint[]>();
  const add = (name: string, ids: readonly bigint[]) =>
    matches.set(name, [...(matches.get(name) ?? []), ...ids]);
  const named = new Map(ends.filter((end) => keyOf(end) !== undefined).map((end) => [endName(end, {}), end]));
  const tenant = scope.property === undefined ? 'null' : `n.${quote(scope.property)}`;
  const groupName = ({ labels, properties }: EndLine) =>
    JSON.stringify([[...labels].sort(), Object.keys(properties)[0]]);
  for (const { rows } of groupBy([...named.values()], groupName)) {
    const [first] = rows;
    const [property] = Object.keys(first?.properties ?? {});
    if (!first || property === undefined) continue;
    const labels = first.labels.map((label) => `:${quote(label)}`).join('');
    // One scan of the label for the whole batch, whether or not the key is indexed.
    const answer = await run(
      `MATCH (n${labels}) WHERE n.${quote(property)} IN $keys
       WITH n.${quote(property)} AS key, ${tenant} AS tenant, collect(id(n))[..2] AS ids RETURN key, tenant, ids`,
      { keys: rows.map(keyOf) },
    );
    for (const { key, tenant: value, ids } of answer) {
      const end = { ...first, properties: { [property]: key } };
      add(endName(end, {}), ids as bigint[]);
      if (value === null || typeof value === 'string') add(endName(end, { value }), ids as bigint[]);
    }
  }
  return new Map(
    [...matches].flatMap(([name, [id, ...others]]) =>
      id === undefined || others.length > 0 ? [] : [[name, id] as const],
    ),
  );
}

/** The tenant of an end, if it is known. */
function tenantOf({ outside }: EndLine, { property, values }: ScopeText): Outside {
  if (property === undefined) return {};
  const [only] = values.length === 1 ? values : [];
  return outside ?? (only === undefined ? {} : { value: only });
}

function keyOf({ properties }: EndLine): string | bigint | undefined {
  const [key] = Object.values(properties);
  return typeof key === 'string' || typeof key === 'bigint' ? key : undefined;
}

function endName(end: EndLine, { value }: Outside): string {
  const key = keyOf(end);
  const name = [[...end.labels].sort(), Object.keys(end.properties)[0], typeof key, String(key)];
  return JSON.stringify(value === undefined ? name : [...name, value]);
}

async function attach(
  run: Run,
  site: Neo4jSite,
  lines: readonly RelationshipLine[],
  ends: ReadonlyMap<number, Ends>,
): Promise<void> {
  const { scope, version, options } = site;
  const merging = options.mode === 'merge';
  // Equal relationships that existed before this merge satisfy every copy in the archive: copies are not created again.
  const older = merging
    ? await readContents(run, lines, ends, `AND r.${MERGED_PROPERTY} IS NULL`)
    : new Map<number, Set<string>>();
  const rows: { type: string; start: bigint; end: bigint; properties: Properties }[] = [];
  for (const [index, { start, end }] of ends) {
    const line = lines[index];
    if (!line || older.get(index)?.has(contentOf(line))) continue;
    const properties = merging ? { ...line.properties, [MERGED_PROPERTY]: true } : line.properties;
    rows.push({ type: line.type, start, end, properties });
  }
  // `finish` finds marked relationships through their marked start nodes.
  const mark = merging ? `SET s:${scope.names.loaded}` : '';
  const create = (type: string) =>
    `UNWIND $rows AS row MATCH (s) WHERE id(s) = row.start MATCH (e) WHERE id(e) = row.end
     CREATE (s)-[r:${type}]->(e) SET r = row.properties ${mark}`;
  if (rows.length === 0) return;
  if (hasDynamicLabels(version)) await run(create('$(row.type)'), { rows });
  else
    for (const { key, rows: group } of groupBy(rows, ({ type }) => quote(type)))
      await run(create(key), { rows: group });
}

/** By line number: the contents of the relationships of the same type between the same ends. */
async function readContents(
  run: Run,
  lines: readonly RelationshipLine[],
  ends: ReadonlyMap<number, Ends>,
  condition: string,
): Promise<Map<number, Set<string>>> {
  const rows = [...ends].map(([index, found]) => ({
    index: BigInt(index),
    type: lines[index]?.type ?? '',
    ...found,
  }));
  const answer = await run(
    `UNWIND $rows AS row MATCH (s) WHERE id(s) = row.start MATCH (e) WHERE id(e) = row.end
     MATCH (s)-[r]->(e) WHERE type(r) = row.type ${condition}
     RETURN row.index AS index, collect(r) AS found`,
    { rows },
  );
  return new Map(
    answer.map(({ index, found }) => [
      Number(index),
      new Set((found as Relationship<bigint>[]).map((other) => contentOf(other))),
    ]),
  );
}

function contentOf({ type, properties }: { type: string; properties: object }): string {
  return placedRelationship(type, properties as Properties, '', '');
}
