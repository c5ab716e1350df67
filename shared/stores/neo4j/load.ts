import { setImmediate as letOthersWork } from 'node:timers/promises';
import { z } from 'zod';
import { InvalidInputError } from '../../core/errors.ts';
import { parseInput } from '../../core/input.ts';
import { mapOrdered } from '../../core/ordered.ts';
import type { Cursor, LegResult } from '../leg.ts';
import { TallyBook } from '../tally-book.ts';
import { commitBatch, LANES, prepareLoad } from './auxiliary.ts';
import { loadDangling } from './dangling.ts';
import {
  type Batch,
  danglingBatches,
  type EntryPosition,
  nodeBatches,
  readAhead,
  relationshipBatches,
  SLICE_RECORDS,
  START,
} from './entries.ts';
import { canonicalNode, canonicalRelationship, type NodeLine, type RelationshipLine } from './lines.ts';
import { areIndexesFilled, loadSchema } from './load-schema.ts';
import { checkNodes, indexKeys, mergeNodes, mergeRelationships } from './merge.ts';
import type { ScopeText } from './scope.ts';
import type { Neo4jSite } from './site.ts';
import { attachable, createNodes, createRelationships } from './write.ts';

/** Number of IDs logged for relationships that were left out. */
const LOGGED_IDS_MAX = 5;

const STAGES = ['prepare', 'check', 'nodes', 'relationships', 'dangling', 'schema', 'indexes'] as const;

const LoadCursor = z.strictObject({
  stage: z.enum(STAGES),
  position: z.strictObject({ entry: z.string().nullable(), line: z.number().int().nonnegative() }),
  /** Number of committed batches, which is the number of the next one. */
  batch: z.number().int().nonnegative(),
  /** Number of records of this stage so far, for progress. */
  done: z.number().int().nonnegative(),
});
type LoadCursor = z.infer<typeof LoadCursor>;

/**
 * Loads nodes, then the relationships between them, then constraints and indexes. Dangling relationships are attached
 * if requested; the others are counted as `left_out`, as are relationships whose ends changed during the backup.
 */
export async function loadGraph(site: Neo4jSite, cursor: Cursor | null): Promise<LegResult> {
  const book = new TallyBook();
  let at: LoadCursor | null =
    cursor === null
      ? { stage: 'prepare', position: START, batch: 0, done: 0 }
      : parseInput(LoadCursor, cursor, 'The cursor of loading the graph', 'Start the restore again.');
  while (at !== null) {
    at = await runStage(site, at, book);
    if (at !== null && site.context.timeLeft() <= 0) break;
  }
  return { cursor: at, tallies: book.tallies() };
}

/** Runs a stage. Returns the cursor if the time is up, the start of the next stage, or null after the last stage. */
async function runStage(site: Neo4jSite, at: LoadCursor, book: TallyBook): Promise<LoadCursor | null> {
  const { archive, context } = site;
  // In a merge, two batches may contain the same record: the later one has to see the writes of the earlier one.
  const lanes = site.options.mode === 'merge' ? 1 : LANES;
  switch (at.stage) {
    case 'prepare':
      return (await prepareLoad(site.server, site.scope, context)) ? nextStage(at) : at;
    case 'check':
      if (site.options.mode === 'replace') return nextStage(at);
      return checkMerge(site, at);
    case 'nodes':
      return eachBatch(
        site,
        at,
        nodeBatches(archive, at.position),
        (batch, number) => loadNodes(site, batch, number, book),
        lanes,
      );
    case 'relationships':
      return eachBatch(
        site,
        at,
        relationshipBatches(archive, at.position),
        (batch, number) => loadRelationships(site, batch, number, book),
        lanes,
      );
    case 'dangling':
      return eachBatch(site, at, danglingBatches(archive, at.position), (batch, number) =>
        loadDangling(site, batch, number, book),
      );
    case 'schema':
      await loadSchema(site, book);
      return nextStage(at);
    case 'indexes':
      return (await areIndexesFilled(site)) ? null : at;
  }
}

/** Looks up every node of the archive before a merge writes anything. */
async function checkMerge(site: Neo4jSite, from: LoadCursor): Promise<LoadCursor | null> {
  const indexed = new Set<string>();
  const done = await eachBatch(site, from, nodeBatches(site.archive, from.position), async (nodes) => {
    await indexKeys(site, nodes, indexed);
    await checkNodes(site, nodes);
  });
  // Nothing was committed, so this stage does not advance the batch number.
  return done === null ? null : { ...done, batch: from.batch };
}

function nextStage({ stage, batch }: LoadCursor): LoadCursor | null {
  const next = STAGES[STAGES.indexOf(stage) + 1];
  return next === undefined ? null : { stage: next, position: START, batch, done: 0 };
}

/**
 * Processes batches in order, up to `lanes` of them concurrently. When the time is up, no further batch is started and
 * those in progress are completed: the cursor points after the last one.
 */
async function eachBatch<T>(
  { context }: Neo4jSite,
  from: LoadCursor,
  batches: AsyncGenerator<Batch<T>>,
  work: (records: readonly T[], batch: number) => Promise<void>,
  lanes = 1,
): Promise<LoadCursor | null> {
  let at = from;
  let number = from.batch;
  let isOutOfTime = false;
  const numberedBatches = (async function* () {
    for await (const batch of readAhead(batches)) {
      yield { ...batch, number: number++ };
      isOutOfTime = context.timeLeft() <= 0;
      if (isOutOfTime) return;
    }
  })();
  const done = mapOrdered(numberedBatches, lanes, async (batch) => {
    await work(batch.records, batch.number);
    return batch;
  });
  for await (const { records, next } of done) {
    const position: EntryPosition = next;
    at = { ...at, position, batch: at.batch + 1, done: at.done + records.length };
    context.progress(at.stage, at.done);
  }
  return isOutOfTime ? at : nextStage(at);
}

async function loadNodes(
  site: Neo4jSite,
  nodes: readonly NodeLine[],
  batch: number,
  book: TallyBook,
): Promise<void> {
  const { server, scope, version, options, context } = site;
  // A node outside of the scope would never be found or cleared again.
  const wrongNode = nodes.find((node) => !scope.holds(node));
  if (wrongNode) throw outside(scope, wrongNode);
  const committed = commitBatch(server, scope, context, batch, (run) =>
    options.mode === 'merge' ? mergeNodes(run, site, nodes) : createNodes(run, scope, version, nodes),
  );
  const [texts] = await Promise.all([canonicalTexts(nodes, canonicalNode), committed]);
  for (const text of texts) book.add('nodes', text);
}

function outside(scope: ScopeText, { id }: NodeLine): InvalidInputError {
  return new InvalidInputError(
    `Node ${id} of the archive is outside of the target's scope (${scope.words}).`,
    {
      remedy: 'Restore into a target with the scope that was saved, or rename the label.',
    },
  );
}

async function loadRelationships(
  site: Neo4jSite,
  relationships: readonly RelationshipLine[],
  batch: number,
  book: TallyBook,
): Promise<void> {
  const { server, scope, version, options, context } = site;
  const commit = commitBatch(server, scope, context, batch, (run) =>
    options.mode === 'merge'
      ? mergeRelationships(run, site, relationships)
      : createRelationships(run, scope, version, relationships, false),
  );
  const [texts, committed] = await Promise.all([
    canonicalTexts(relationships, canonicalRelationship),
    commit,
  ]);
  const placed =
    committed ??
    (await server.write('loading a batch', context.signal, (run) => attachable(run, scope, relationships)));
  const left: string[] = [];
  for (const [index, line] of relationships.entries()) {
    book.add(placed.has(index) ? 'relationships' : 'left_out', texts[index] ?? '');
    if (!placed.has(index)) left.push(line.id);
  }
  if (left.length > 0) {
    context.log('Relationships are left out: a node at their ends changed while the backup was made.', {
      relationships: left.length,
      ids: left.slice(0, LOGGED_IDS_MAX),
    });
  }
}

/** The canonical texts for the digests, computed while the server works. */
async function canonicalTexts<T>(records: readonly T[], canonical: (record: T) => string): Promise<string[]> {
  const texts: string[] = [];
  for (const record of records) {
    if (texts.length % SLICE_RECORDS === 0) await letOthersWork();
    texts.push(canonical(record));
  }
  return texts;
}
