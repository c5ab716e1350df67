import { z } from 'zod';
import { addTallies, type Tallies } from '../../core/digest.ts';
import { parseInput } from '../../core/input.ts';
import { Findings } from '../findings.ts';
import type { Cursor, LegContext } from '../leg.ts';
import type { VerifyResult } from '../restore-leg.ts';
import { TallyBook } from '../tally-book.ts';
import { compareNodes, compareRelationships, type GraphComparison } from './compare.ts';
import { compareDangling } from './dangling.ts';
import {
  type Batch,
  danglingBatches,
  nodeBatches,
  readArchivedSchema,
  relationshipBatches,
  START,
} from './entries.ts';
import { canonicalNode, canonicalRelationship, encodeRelationship, placedRelationship } from './lines.ts';
import { mayBeLeftOut, warnLeftOut } from './load-schema.ts';
import { ID_PROPERTY } from './names.ts';
import { PAGES_AT_ONCE, type PageSink, type ReadPage, readNodes, readRelationships } from './read-range.ts';
import type { ReadNode, ReadRelationship } from './read-record.ts';
import { canonicalSchema, readSchema, sameDefinition, servesOnly } from './schema.ts';
import { Range, wholeRange } from './shards.ts';
import type { Neo4jSite } from './site.ts';

const STAGES = [
  'nodes',
  'relationships',
  'archived-nodes',
  'archived-relationships',
  'compare-nodes',
  'compare-relationships',
  'dangling',
  'schema',
] as const;

const Sum = z.strictObject({ count: z.number(), digest: z.string().regex(/^[0-9a-f]{64}$/) });
/** Sums over records that name the archive's ids: equal sums mean the same nodes in the same places. */
const VerifyCursor = z.strictObject({
  stage: z.enum(STAGES),
  /** While the target is read: the range of internal ids, and the next one. */
  range: Range.nullable(),
  at: z.string().regex(/^\d{1,19}$/),
  /** While the archive is read. */
  position: z.strictObject({ entry: z.string().nullable(), line: z.number().int().nonnegative() }),
  sums: z.record(z.string(), Sum),
  done: z.number().int().nonnegative(),
  /** Differences that earlier legs and stages found. */
  differences: z.number().int().nonnegative(),
});
type VerifyCursor = z.infer<typeof VerifyCursor>;

/** What a leg found out. */
class GraphFindings extends Findings {
  /** Records with the archive's ids: `target nodes`, `archive nodes`, … */
  readonly sums = new TallyBook();

  override addAll(other: GraphFindings): void {
    super.addAll(other);
    this.sums.addAll(other.sums);
  }
}

/** What was found out of a page. Each record is looked at when it comes; nobody keeps it. */
class PageFindings<T> implements PageSink<T> {
  readonly #look: (record: T, findings: GraphFindings) => string | null;
  findings = new GraphFindings();
  bytes = 0;

  /** @param look  returns the record's canonical text; null where the record is none of the scope's */
  constructor(look: (record: T, findings: GraphFindings) => string | null) {
    this.#look = look;
  }

  add(record: T): void {
    this.bytes += this.#look(record, this.findings)?.length ?? 0;
  }

  clear(): void {
    this.findings = new GraphFindings();
    this.bytes = 0;
  }
}

/**
 * Reads the loaded graph back, before `finish`. After a replacing load, everything in the scope is read once and summed
 * by the archive's ids, and so is the archive: equal sums mean that every record is there, in its place, and none too
 * much. Only where they differ, each record is looked up, to say what is different. After a merge, each record of the
 * archive is looked up in any case, since the scope holds others as well.
 */
export async function verifyGraph(site: Neo4jSite, cursor: Cursor | null): Promise<VerifyResult> {
  const findings = new GraphFindings();
  const first: VerifyCursor['stage'] = site.options.mode === 'merge' ? 'compare-nodes' : 'nodes';
  let at: VerifyCursor | null =
    cursor === null
      ? startOf(first, {}, 0)
      : parseInput(VerifyCursor, cursor, 'The cursor of verifying the graph', 'Start the restore again.');
  const { sums, differences } = at;
  while (at !== null) {
    at = await runStage(site, at, findings);
    if (at === null) break;
    // What this leg added is in `findings` until it ends.
    if (site.context.timeLeft() <= 0) break;
  }
  if (at === null) return findings.result(null);
  return findings.result({
    ...at,
    sums: mutable(addTallies(sums, findings.sums.tallies())),
    differences: differences + findings.differences,
  });
}

function mutable(tallies: Tallies): Record<string, { count: number; digest: string }> {
  return Object.fromEntries(Object.entries(tallies).map(([name, tally]) => [name, { ...tally }]));
}

function startOf(
  stage: VerifyCursor['stage'],
  sums: VerifyCursor['sums'],
  differences: number,
): VerifyCursor {
  return { stage, range: null, at: '0', position: START, sums, done: 0, differences };
}

/** Works on a stage: returns the cursor where the time is up, the start of the next stage, or null after the last. */
async function runStage(
  site: Neo4jSite,
  at: VerifyCursor,
  findings: GraphFindings,
): Promise<VerifyCursor | null> {
  const { archive, context } = site;
  const next = (stage: VerifyCursor['stage']) => startOf(stage, at.sums, at.differences);
  const sums = () => addTallies(at.sums, findings.sums.tallies());
  const isEqual = (kind: string) => {
    const [target, archived] = [sums()[`target ${kind}`], sums()[`archive ${kind}`]];
    return target?.count === archived?.count && target?.digest === archived?.digest;
  };
  switch (at.stage) {
    case 'nodes':
      return (await readBackNodes(site, at, findings)) ?? next('relationships');
    case 'relationships':
      return (await readBackRelationships(site, at, findings)) ?? next('archived-nodes');
    case 'archived-nodes': {
      const rest = await eachBatch(site, at, nodeBatches(archive, at.position), async (nodes) => {
        for (const node of nodes) findings.sums.add('archive nodes', `${node.id} ${canonicalNode(node)}`);
      });
      return rest ?? next('archived-relationships');
    }
    case 'archived-relationships': {
      const rest = await eachBatch(
        site,
        at,
        relationshipBatches(archive, at.position),
        async (relationships) => {
          for (const { type, properties, start, end } of relationships) {
            findings.sums.add(
              'archive relationships',
              placedRelationship(type, properties, start.id, end.id),
            );
          }
        },
      );
      if (rest !== null) return rest;
      return next(isEqual('nodes') && isEqual('relationships') ? 'dangling' : 'compare-nodes');
    }
    case 'compare-nodes': {
      const rest = await eachBatch(site, at, nodeBatches(archive, at.position), async (nodes) => {
        const compared = await compareNodes(site, nodes);
        note(compared, findings);
        if (site.options.mode !== 'merge') return;
        for (const index of compared.found) {
          const node = nodes[index];
          if (node) findings.tallies.add('nodes', canonicalNode(node));
        }
      });
      return rest ?? next('compare-relationships');
    }
    case 'compare-relationships': {
      const batches = relationshipBatches(archive, at.position);
      const rest = await eachBatch(site, at, batches, async (relationships) => {
        const compared = await compareRelationships(site, relationships);
        note(compared, findings);
        for (const [index, line] of relationships.entries()) {
          if (compared.unplaced.has(index)) continue;
          const { type, properties, start, end } = line;
          findings.sums.add('placed', placedRelationship(type, properties, start.id, end.id));
          if (site.options.mode === 'merge' && compared.found.has(index)) {
            findings.tallies.add('relationships', canonicalRelationship(line));
          }
        }
      });
      if (rest !== null) return rest;
      const { 'target relationships': target, placed } = sums();
      const same = target?.count === placed?.count && target?.digest === placed?.digest;
      if (site.options.mode !== 'merge' && !same && at.differences + findings.differences === 0) {
        findings.add(
          'relationships',
          `occur ${target?.count ?? 0} times in the target and ${placed?.count ?? 0} times in the archive, or parallel ones differ`,
        );
      }
      return next('dangling');
    }
    case 'dangling': {
      if (site.options.dangling !== 'stitch') return next('schema');
      const batches = danglingBatches(archive, at.position);
      const rest = await eachBatch(site, at, batches, async (lines) => {
        for (const difference of await compareDangling(site, lines, findings.tallies)) {
          findings.add(difference.thing, difference.problem);
        }
      });
      return rest ?? next('schema');
    }
    case 'schema':
      await compareSchema(site, findings);
      context.progress('schema', 1, 1);
      return null;
  }
}

function note({ differences }: GraphComparison, findings: GraphFindings): void {
  for (const difference of differences) findings.add(difference.thing, difference.problem);
}

async function eachBatch<T>(
  { context }: Neo4jSite,
  from: VerifyCursor,
  batches: AsyncGenerator<Batch<T>>,
  work: (records: readonly T[]) => Promise<void>,
): Promise<VerifyCursor | null> {
  let at = from;
  for await (const { records, next } of batches) {
    await work(records);
    at = { ...at, position: next, done: at.done + records.length };
    context.progress(at.stage.replace('-', ' '), at.done);
    if (context.timeLeft() <= 0) return at;
  }
  return null;
}

async function readBackNodes(
  { server, scope, context }: Neo4jSite,
  from: VerifyCursor,
  findings: GraphFindings,
): Promise<VerifyCursor | null> {
  const { signal } = context;
  const range = from.range ?? (await wholeRange(server, scope, 'nodes', signal));
  if (range === null) return null;
  const begin = from.range === null ? range.from : from.at;
  const sinks = Array.from({ length: PAGES_AT_ONCE }, () => new PageFindings(lookAtNode));
  const pages = readNodes(server, scope, range, BigInt(begin), signal, sinks);
  return readBack(context, { ...from, range }, pages, findings);
}

function lookAtNode(node: ReadNode, findings: GraphFindings): string {
  const canonical = canonicalNode(node);
  findings.tallies.add('nodes', canonical);
  const id = node.properties[ID_PROPERTY];
  if (typeof id === 'string') findings.sums.add('target nodes', `${id} ${canonical}`);
  else findings.add(`node with internal id ${node.id}`, 'is not in the archive');
  return canonical;
}

async function readBackRelationships(
  { server, scope, context }: Neo4jSite,
  from: VerifyCursor,
  findings: GraphFindings,
): Promise<VerifyCursor | null> {
  const { signal } = context;
  const range = from.range ?? (await wholeRange(server, scope, 'relationships', signal));
  if (range === null) return null;
  const begin = from.range === null ? range.from : from.at;
  const look = lookAtRelationship(scope.keyProperty);
  const sinks = Array.from({ length: PAGES_AT_ONCE }, () => new PageFindings(look));
  const pages = readRelationships(server, scope, range, BigInt(begin), signal, sinks, { archiveIds: true });
  return readBack(context, { ...from, range }, pages, findings);
}

function lookAtRelationship(keyProperty: string | undefined) {
  return (relationship: ReadRelationship, findings: GraphFindings): string | null => {
    const { id, type, properties, start, end, inside } = relationship;
    if (!inside) return null;
    const { canonical } = encodeRelationship(relationship, keyProperty);
    findings.tallies.add('relationships', canonical);
    if (typeof start.loaded === 'string' && typeof end.loaded === 'string') {
      const placed = placedRelationship(type, properties, start.loaded, end.loaded);
      findings.sums.add('target relationships', placed);
    } else {
      const thing = `relationship with internal id ${id}`;
      findings.add(thing, 'refers to a node that is not in the archive');
    }
    return canonical;
  };
}

/** Takes in page after page; the cursor of the rest where the time is up. */
async function readBack<T>(
  context: LegContext,
  from: VerifyCursor,
  pages: AsyncGenerator<ReadPage<PageFindings<T>>>,
  findings: GraphFindings,
): Promise<VerifyCursor | null> {
  let { done } = from;
  for await (const { sink, count, last } of pages) {
    findings.addAll(sink.findings);
    done += count;
    context.progress(from.stage, done);
    if (context.timeLeft() <= 0) return { ...from, at: String(last + 1n), done };
  }
  return null;
}

/** Everything of the archive must be there; where the scope was replaced, nothing else may be. */
async function compareSchema(site: Neo4jSite, findings: GraphFindings) {
  const { server, scope, archive, options, context } = site;
  const archived = await readArchivedSchema(archive);
  if (archived === undefined) return;
  const { rows: existing } = await readSchema(server, undefined, context.signal);
  const leftOut: string[] = [];
  for (const row of archived) {
    if (existing.some((other) => sameDefinition(row, other))) {
      findings.tallies.add('schema', canonicalSchema(row));
    } else if (mayBeLeftOut(row, site)) {
      leftOut.push(row.name);
    } else {
      findings.add(`${row.type} "${row.name}"`, 'is missing in the target, or has a different definition');
    }
  }
  warnLeftOut(leftOut, site);
  if (options.mode === 'merge') return;
  for (const row of existing) {
    if (!servesOnly(row, scope)) continue;
    if (!archived.some((other) => sameDefinition(other, row))) {
      findings.add(`${row.type} "${row.name}"`, 'is not in the archive');
    }
  }
}
