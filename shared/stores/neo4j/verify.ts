import { z } from 'zod';
import { addTallies, type Tallies } from '../../core/digest.ts';
import { parseInput } from '../../core/input.ts';
import { Findings } from '../findings.ts';
import type { Cursor, LegContext } from '../leg.ts';
import type { Difference, VerifyResult } from '../restore-leg.ts';
import { TallyBook } from '../tally-book.ts';
import { compareNodes, compareRelationships } from './compare.ts';
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
import { canonicalSchema, isInPlaceOfOneOf, readSchema, sameDefinition, servesOnly } from './schema.ts';
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
/** Sums over records identified by their archive IDs: equal sums prove that the same nodes are in the same places. */
const VerifyCursor = z.strictObject({
  stage: z.enum(STAGES),
  /** While reading the target: the range of internal IDs, and the next one. */
  range: Range.nullable(),
  at: z.string().regex(/^\d{1,19}$/),
  /** While reading the archive. */
  position: z.strictObject({ entry: z.string().nullable(), line: z.number().int().nonnegative() }),
  sums: z.record(z.string(), Sum),
  done: z.number().int().nonnegative(),
  /** Number of differences found by earlier legs and stages. */
  differences: z.number().int().nonnegative(),
});
type VerifyCursor = z.infer<typeof VerifyCursor>;

/** The findings of one leg. */
class GraphFindings extends Findings {
  /** Tallies of records identified by archive IDs: `target nodes`, `archive nodes`, … */
  readonly sums = new TallyBook();

  override addAll(other: GraphFindings): void {
    super.addAll(other);
    this.sums.addAll(other.sums);
  }
}

/** The findings for one page. Each record is examined on arrival and not kept. */
class PageFindings<T> implements PageSink<T> {
  readonly #look: (record: T, findings: GraphFindings) => string | null;
  findings = new GraphFindings();
  bytes = 0;

  /** @param look  returns the record's canonical text; null if the record is outside the scope */
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
 * Verifies the loaded graph, before `finish`. After a load with `replace`, everything in the scope is read once and
 * summed by archive ID, and so is the archive: equal sums prove that every record exists, in its place, and that there
 * are no others. Only if the sums differ, each record is looked up to report the differences. After a merge, each
 * record of the archive is always looked up, because the scope also contains other records.
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
    at = await RUN[at.stage]({ site, at, findings });
    if (at === null) break;
    // Until the leg ends, the sums and differences it adds are in `findings`.
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

/** One stage, as processed by a leg. */
interface StageRun {
  readonly site: Neo4jSite;
  readonly at: VerifyCursor;
  readonly findings: GraphFindings;
}

/** Runs a stage. Returns the cursor if the time is up, the start of the next stage, or null after the last stage. */
type Stage = (run: StageRun) => Promise<VerifyCursor | null>;

const RUN: Readonly<Record<VerifyCursor['stage'], Stage>> = {
  nodes: async (run) =>
    (await readBackNodes(run.site, run.at, run.findings)) ?? startAfter(run, 'relationships'),
  relationships: async (run) =>
    (await readBackRelationships(run.site, run.at, run.findings)) ?? startAfter(run, 'archived-nodes'),
  'archived-nodes': sumArchivedNodes,
  'archived-relationships': sumArchivedRelationships,
  'compare-nodes': findDifferentNodes,
  'compare-relationships': findDifferentRelationships,
  dangling: findDifferentDangling,
  schema: async ({ site, findings }) => {
    await compareSchema(site, findings);
    site.context.progress('schema', 1, 1);
    return null;
  },
};

function startAfter({ at }: StageRun, stage: VerifyCursor['stage']): VerifyCursor {
  return startOf(stage, at.sums, at.differences);
}

/** Whether two of the sums so far cover the same records. */
function isSameSum(run: StageRun, one: string, other: string): boolean {
  const { [one]: left, [other]: right } = sumsOf(run);
  return left?.count === right?.count && left?.digest === right?.digest;
}

function sumsOf({ at, findings }: StageRun): Tallies {
  return addTallies(at.sums, findings.sums.tallies());
}

async function sumArchivedNodes(run: StageRun): Promise<VerifyCursor> {
  const { site, at, findings } = run;
  const rest = await eachBatch(run, nodeBatches(site.archive, at.position), async (nodes) => {
    for (const node of nodes) findings.sums.add('archive nodes', `${node.id} ${canonicalNode(node)}`);
  });
  return rest ?? startAfter(run, 'archived-relationships');
}

async function sumArchivedRelationships(run: StageRun): Promise<VerifyCursor> {
  const { site, at, findings } = run;
  const rest = await eachBatch(run, relationshipBatches(site.archive, at.position), async (relationships) => {
    for (const { type, properties, start, end } of relationships) {
      findings.sums.add('archive relationships', placedRelationship(type, properties, start.id, end.id));
    }
  });
  if (rest !== null) return rest;
  const isSame = ['nodes', 'relationships'].every((kind) =>
    isSameSum(run, `target ${kind}`, `archive ${kind}`),
  );
  return startAfter(run, isSame ? 'dangling' : 'compare-nodes');
}

async function findDifferentNodes(run: StageRun): Promise<VerifyCursor> {
  const { site, at, findings } = run;
  const rest = await eachBatch(run, nodeBatches(site.archive, at.position), async (nodes) => {
    const { found, differences } = await compareNodes(site, nodes);
    note(differences, findings);
    if (site.options.mode !== 'merge') return;
    for (const [index, node] of nodes.entries()) {
      if (found.has(index)) findings.tallies.add('nodes', canonicalNode(node));
    }
  });
  return rest ?? startAfter(run, 'compare-relationships');
}

async function findDifferentRelationships(run: StageRun): Promise<VerifyCursor> {
  const { site, at, findings } = run;
  const rest = await eachBatch(run, relationshipBatches(site.archive, at.position), async (relationships) => {
    const { found, unplaced, differences } = await compareRelationships(site, relationships);
    note(differences, findings);
    for (const [index, line] of relationships.entries()) {
      if (unplaced.has(index)) continue;
      const { type, properties, start, end } = line;
      findings.sums.add('placed', placedRelationship(type, properties, start.id, end.id));
      if (site.options.mode === 'merge' && found.has(index)) {
        findings.tallies.add('relationships', canonicalRelationship(line));
      }
    }
  });
  if (rest !== null) return rest;
  const isSame = site.options.mode === 'merge' || isSameSum(run, 'target relationships', 'placed');
  if (!isSame && at.differences + findings.differences === 0) {
    const { 'target relationships': target, placed } = sumsOf(run);
    findings.add(
      'relationships',
      `occur ${target?.count ?? 0} times in the target and ${placed?.count ?? 0} times in the archive, or parallel ones differ`,
    );
  }
  return startAfter(run, 'dangling');
}

async function findDifferentDangling(run: StageRun): Promise<VerifyCursor> {
  const { site, at, findings } = run;
  if (site.options.dangling !== 'stitch') return startAfter(run, 'schema');
  const rest = await eachBatch(run, danglingBatches(site.archive, at.position), async (lines) => {
    note(await compareDangling(site, lines, findings.tallies), findings);
  });
  return rest ?? startAfter(run, 'schema');
}

function note(differences: readonly Difference[], findings: GraphFindings): void {
  for (const { thing, problem } of differences) findings.add(thing, problem);
}

async function eachBatch<T>(
  { site: { context }, at: from }: StageRun,
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

/** Reads pages and collects their findings; returns the cursor for the remainder if the time is up. */
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

/** The schema must contain everything in the archive and, if the scope was replaced, nothing else. */
async function compareSchema(site: Neo4jSite, findings: GraphFindings) {
  const { server, scope, archive, options, context } = site;
  const archived = await readArchivedSchema(archive);
  if (archived === undefined) return;
  const { rows: existing } = await readSchema(server, undefined, context.signal);
  const leftOut: string[] = [];
  for (const row of archived) {
    if (isInPlaceOfOneOf(archived, row) || existing.some((other) => sameDefinition(row, other))) {
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
