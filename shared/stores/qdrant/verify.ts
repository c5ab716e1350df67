import { z } from 'zod';
import type { EntryReader } from '../../archive/format/types.ts';
import { MultisetDigest } from '../../core/digest.ts';
import { Findings } from '../findings.ts';
import type { LegContext } from '../leg.ts';
import type { Difference, LoadOptions, RestoreLeg, VerifyResult } from '../restore-leg.ts';
import { type StoreWarning, WARNING_SAMPLES_MAX } from '../warning.ts';
import { readArchivedPoints } from './archived-points.ts';
import type { QdrantClient } from './client.ts';
import {
  aliasesOf,
  limitsOf,
  listAliases,
  readCollection,
  readOptions,
  vectorLayout,
} from './collections.ts';
import { changedVectors, compareIndexes, compareSettings, samePoint, UNCHANGED } from './compare.ts';
import { type ArchivedCollection, readCollections } from './config-entry.ts';
import type { QdrantScope } from './connection.ts';
import { foreignAliases, ownedCollections, unknownSettings } from './create.ts';
import { pointsEntries } from './names.ts';
import { compareIds, type PointText } from './point-text.ts';
import { countPoints, digestFirst, scroll } from './points.ts';
import { readVersion } from './probe.ts';
import { digestSample } from './sample.ts';
import { findCollections } from './scope.ts';
import { retrieve } from './write.ts';

/** Number of points looked up per request. */
const LOOK_UP_POINTS = 500;
/** Progress is reported after so many points. */
const REPORTED_POINTS = 1000;

const VerifyCursor = z.object({
  at: z.number().int().nonnegative(),
  /** Number of points entries compared so far; null before the collection itself was compared. */
  chunks: z.number().int().nonnegative().nullable(),
  /** JSON text of the next ID on the server; "" for the first, null if there are no more. */
  next: z.string().nullable(),
});
type VerifyCursor = z.infer<typeof VerifyCursor>;

/**
 * Reads the collections back and compares them with the archive: settings, payload indexes and aliases. For points
 * entries, compares every point with its counterpart, both in ID order. For snapshots, compares the exact count and the
 * digests recorded in the archive.
 */
export async function verifyQdrant(
  client: QdrantClient,
  scope: QdrantScope,
  leg: RestoreLeg,
): Promise<VerifyResult> {
  const { archive, options, context } = leg;
  const collections = await readCollections(archive);
  const findings = new Findings();
  let cursor: VerifyCursor =
    leg.cursor === null ? { at: 0, chunks: null, next: '' } : VerifyCursor.parse(leg.cursor);
  if (leg.cursor === null && options.mode === 'replace' && !scope.filter) {
    await findExtraCollections(client, scope, collections, findings, context);
  }
  const version = await readVersion(client, context.signal);
  while (cursor.at < collections.length) {
    const collection = collections[cursor.at];
    if (!collection) break;
    const job: CollectionCheck = {
      client,
      scope,
      archive,
      options,
      version,
      collections,
      collection,
      context,
      findings,
    };
    if (cursor.chunks === null) cursor = await checkCollection(job, cursor);
    else if (collection.config?.rewritten_ids) cursor = await checkById(job, cursor);
    else cursor = await checkPoints(job, cursor);
    if (context.timeLeft() <= 0 && cursor.at < collections.length) return findings.result(cursor);
  }
  return findings.result(null);
}

interface CollectionCheck {
  readonly client: QdrantClient;
  readonly scope: QdrantScope;
  readonly archive: EntryReader;
  readonly options: LoadOptions;
  readonly version: string;
  readonly collections: readonly ArchivedCollection[];
  readonly collection: ArchivedCollection;
  readonly context: LegContext;
  readonly findings: Findings;
}

async function findExtraCollections(
  client: QdrantClient,
  scope: QdrantScope,
  collections: readonly ArchivedCollection[],
  findings: Findings,
  { signal }: LegContext,
): Promise<void> {
  const archived = new Set(collections.map(({ name }) => name));
  const { names } = await findCollections(client, scope, signal);
  for (const name of names) {
    if (!archived.has(name)) findings.add(`collection ${name}`, 'is on the server, but not in the archive');
  }
}

/** Compares everything except the points; for a snapshot, also count and digest. */
async function checkCollection(job: CollectionCheck, cursor: VerifyCursor): Promise<VerifyCursor> {
  const { client, scope, options, version, findings } = job;
  const { name, config, snapshot } = job.collection;
  const { signal } = job.context;
  const following: VerifyCursor = { at: cursor.at + 1, chunks: null, next: '' };
  const state = await readCollection(client, name, signal);
  if (!state) {
    findings.add(`collection ${name}`, 'is missing', Math.max(1, config?.points.count ?? 1));
    return following;
  }
  if (!config) {
    // A bare snapshot records nothing about its content.
    findings.tallies.merge({
      [`points:${name}`]: {
        count: await countPoints(client, name, undefined, signal),
        digest: new MultisetDigest().hex(),
      },
    });
    return following;
  }
  const shared = options.mode === 'merge' || scope.filter !== undefined;
  const otherVersion = minorOf(config.server_version) !== minorOf(version);
  const differences: Difference[] = [];
  if (vectorLayout(state.view) !== vectorLayout(config.view)) {
    differences.push({
      thing: `vectors of collection ${name}`,
      problem: 'have a different layout than in the archive',
    });
  }
  const unknown = new Set(unknownSettings(config.config));
  const settings = shared
    ? { differences: [], adopted: [] }
    : compareSettings(config.config, state.config, { otherVersion });
  const indexes = compareIndexes(config.payload_indexes, state.indexes, {
    exact: !shared && !otherVersion,
    otherVersion,
  });
  const adopted = [...settings.adopted, ...indexes.adopted.map((field) => `payload index ${field}`)];
  for (const { thing, problem } of settings.differences) {
    if (unknown.has(thing.split('.', thing.startsWith('params.') ? 2 : 1).join('.'))) adopted.push(thing);
    else differences.push({ thing: `setting ${name}.${thing}`, problem });
  }
  for (const { thing, problem } of indexes.differences) {
    differences.push({ thing: `payload index ${name}.${thing}`, problem });
  }
  if (adopted.length > 0) job.context.warn(adoptedSettings(name, adopted));
  const present = await listAliases(client, signal);
  const aliases = aliasesOf(present, name);
  const owned = await ownedCollections(client, scope, job.collections, signal);
  const foreign = new Set(foreignAliases(present, job.collections, owned).map(({ alias }) => alias));
  for (const alias of config.aliases) {
    if (!aliases.includes(alias) && !foreign.has(alias) && !shared) {
      differences.push({ thing: `alias ${alias}`, problem: `does not refer to collection ${name}` });
    }
  }
  for (const { thing, problem } of differences) findings.add(thing, problem);
  if (!snapshot) return { at: cursor.at, chunks: 0, next: '' };

  const count = await countPoints(client, name, undefined, signal);
  const { points, sample } = config;
  const reading = readOptions(state.view, signal);
  const read = await digestFirst(client, name, points.digested, reading);
  findings.tallies.merge({ [`points:${name}`]: { count, digest: read.digest } });
  job.context.progress(`points:${name}`, count, points.count);
  if (count !== points.count) {
    findings.add(
      `collection ${name}`,
      `has ${count} points instead of ${points.count}`,
      Math.abs(count - points.count),
    );
  } else if (read.digest !== points.digest) {
    findings.add(`collection ${name}`, `differs from the archive within its first ${points.digested} points`);
  } else if (sample && (await digestSample(client, name, sample.ids, reading)) !== sample.digest) {
    findings.add(`collection ${name}`, `differs from the archive in a sample of ${sample.ids.length} points`);
  }
  return following;
}

/** Major and minor number of a version. Settings do not change in patch releases. */
function minorOf(version: string): string {
  return version.split('.', 2).join('.');
}

function adoptedSettings(collection: string, names: readonly string[]): StoreWarning {
  return {
    code: 'settings-of-the-server',
    text: `Collection "${collection}" has settings that the archive does not contain or that this server's version does not support: the server's defaults apply.`,
    count: names.length,
    samples: names.slice(0, WARNING_SAMPLES_MAX),
  };
}

/** Compares points entries with the server's points, until the time runs out or all are compared. */
async function checkPoints(job: CollectionCheck, cursor: VerifyCursor): Promise<VerifyCursor> {
  const { client, scope, archive, options, context, findings } = job;
  const { name, part, config } = job.collection;
  const state = await readCollection(client, name, context.signal);
  const merge = options.mode === 'merge';
  const changed = state ? changedVectors(state.view) : UNCHANGED;
  const digest = new MultisetDigest();
  const before = context.doneBefore?.(`points:${name}`) ?? 0;
  let count = 0;
  const report = () => context.progress(`points:${name}`, before + count, config?.points.count);
  const take = (point: PointText) => {
    count++;
    digest.add(point.canonical);
    if (count % REPORTED_POINTS === 0) report();
  };
  const onServer = new Reader(
    cursor.next === null || !state
      ? []
      : scroll(client, name, {
          ...readOptions(state.view, context.signal),
          from: cursor.next === '' ? null : cursor.next,
          filter: scope.filter,
        }),
  );
  const extra = (point: PointText) => {
    if (merge) return;
    take(point);
    findings.add(`point ${point.id} of collection ${name}`, 'is not in the archive');
  };
  const end = (next: VerifyCursor): VerifyCursor => {
    findings.tallies.merge({ [`points:${name}`]: { count, digest: digest.hex() } });
    report();
    return next;
  };
  try {
    let chunks = 0;
    for await (const entry of pointsEntries(archive, part)) {
      if (++chunks <= (cursor.chunks ?? 0)) continue;
      for await (const archived of readArchivedPoints(archive, entry, scope.filter ?? null)) {
        let present = await onServer.peek();
        for (; present && compareIds(present.id, archived.id) < 0; present = await onServer.peek()) {
          extra(present);
          onServer.step();
        }
        if (present?.id !== archived.id) {
          findings.add(`point ${archived.id} of collection ${name}`, 'is missing');
          continue;
        }
        take(present);
        onServer.step();
        // In a merge with `keep`, points that already existed may differ.
        if (merge && options.onConflict === 'keep') continue;
        if (!samePoint(archived, present, changed)) {
          findings.add(
            `point ${archived.id} of collection ${name}`,
            'has different vectors or a different payload',
          );
        }
      }
      if (context.timeLeft() <= 0) {
        return end({ at: cursor.at, chunks, next: (await onServer.peek())?.id ?? null });
      }
    }
    for (let present = await onServer.peek(); present; present = await onServer.peek()) {
      extra(present);
      onServer.step();
      if (context.timeLeft() <= 0 && !merge) {
        return end({ at: cursor.at, chunks, next: (await onServer.peek())?.id ?? null });
      }
      if (merge) break;
    }
    return end({ at: cursor.at + 1, chunks: null, next: '' });
  } finally {
    await onServer.close();
  }
}

/**
 * Like {@link checkPoints}, for points whose IDs were rewritten. They are ordered only within an entry, so each one is
 * looked up, and the exact count reveals extra points on the server.
 */
async function checkById(job: CollectionCheck, cursor: VerifyCursor): Promise<VerifyCursor> {
  const { client, scope, archive, options, context, findings } = job;
  const { name, part, config } = job.collection;
  const digest = new MultisetDigest();
  const before = context.doneBefore?.(`points:${name}`) ?? 0;
  let count = 0;
  const end = (next: VerifyCursor): VerifyCursor => {
    findings.tallies.merge({ [`points:${name}`]: { count, digest: digest.hex() } });
    return next;
  };
  const compare = async (batch: readonly PointText[]) => {
    const ids = batch.map(({ id }) => id);
    const present = await retrieve(client, name, ids, { limit, signal: context.signal });
    for (const archived of batch) {
      const found = present.get(archived.id);
      const point = `point ${archived.id} of collection ${name}`;
      if (!found) {
        findings.add(point, 'is missing');
        continue;
      }
      count++;
      digest.add(found.canonical);
      if (options.mode === 'merge' && options.onConflict === 'keep') continue;
      if (found.canonical !== archived.canonical)
        findings.add(point, 'has different vectors or a different payload');
    }
    context.progress(`points:${name}`, before + count, config?.points.count);
  };
  const state = await readCollection(client, name, context.signal);
  const limit = Math.min(LOOK_UP_POINTS, state ? limitsOf(state.view).read : LOOK_UP_POINTS);
  let chunks = 0;
  for await (const entry of pointsEntries(archive, part)) {
    if (++chunks <= (cursor.chunks ?? 0)) continue;
    let batch: PointText[] = [];
    for await (const point of readArchivedPoints(archive, entry, scope.filter ?? null)) {
      batch.push(point);
      if (batch.length < LOOK_UP_POINTS) continue;
      await compare(batch);
      batch = [];
    }
    if (batch.length > 0) await compare(batch);
    if (context.timeLeft() <= 0) return end({ at: cursor.at, chunks, next: '' });
  }
  const expected = config?.points.count ?? 0;
  const found = await countPoints(client, name, scope.filter, context.signal);
  if (options.mode === 'replace' && found > expected) {
    findings.add(`collection ${name}`, `has ${found} points instead of ${expected}`, found - expected);
  }
  return end({ at: cursor.at + 1, chunks: null, next: '' });
}

/** Reads the points of pages one by one. */
class Reader {
  readonly #pages: AsyncIterator<{ points: readonly PointText[] }> | Iterator<never>;
  #points: readonly PointText[] = [];
  #at = 0;
  #ended = false;

  constructor(pages: AsyncIterable<{ points: readonly PointText[] }> | readonly never[]) {
    this.#pages = Symbol.asyncIterator in pages ? pages[Symbol.asyncIterator]() : pages[Symbol.iterator]();
  }

  /** Returns the next point without consuming it; undefined after the last. */
  async peek(): Promise<PointText | undefined> {
    while (this.#at === this.#points.length && !this.#ended) {
      const { done, value } = await this.#pages.next();
      if (done) this.#ended = true;
      else {
        this.#points = value.points;
        this.#at = 0;
      }
    }
    return this.#points[this.#at];
  }

  step(): void {
    this.#at++;
  }

  async close(): Promise<void> {
    await this.#pages.return?.();
  }
}
