import { z } from 'zod';
import type { EntryReader, IndexEntry } from '../../archive/format/types.ts';
import { pulledSink } from '../../archive/read/pulled-sink.ts';
import { MultisetDigest, type Tallies } from '../../core/digest.ts';
import { damagedArchive, type IntegrityError } from '../../core/errors.ts';
import type { Json } from '../../core/json.ts';
import {
  type CollectedField,
  type ContentCheck,
  type ContentFindings,
  type ContentOrigin,
  collectFields,
  type EntrySink,
} from '../content-check.ts';
import { snapshotObstacles } from './admits.ts';
import { parsePoints } from './archived-points.ts';
import { type ArchivedCollection, readCollections } from './config-entry.ts';
import { parseEntryName, parseReferencesName } from './names.ts';
import { compareIds, type PointText } from './point-text.ts';
import { SnapshotWalk } from './snapshot-file.ts';

const Points = z.object({
  count: z.number(),
  digest: z.string(),
  /** JSON text of the last ID. */
  last: z.string(),
});
const State = z.object({
  /** What was read from points entries, by collection (as encoded in entry names). */
  points: z.record(z.string(), Points),
  /** Number of references entries, by the same key. */
  references: z.record(z.string(), z.number()),
  problems: z.array(z.string()),
});

/** Checks the entries of vectors: see {@link ContentCheck}. */
export function checkVectors(origin: ContentOrigin, from?: Json): ContentCheck {
  return new VectorsCheck(origin, from);
}

class VectorsCheck implements ContentCheck {
  readonly #archive: EntryReader;
  readonly #fieldsOf: (collection: string) => readonly CollectedField[];
  readonly #points: Map<string, z.infer<typeof Points>>;
  readonly #references: Map<string, number>;
  readonly #problems: string[];
  #collections: Promise<ReadonlyMap<string, ArchivedCollection>> | undefined;

  constructor({ archive, fieldsOf = () => [] }: ContentOrigin, from: Json | undefined) {
    const state = from === undefined ? undefined : State.parse(from);
    this.#archive = archive;
    this.#fieldsOf = fieldsOf;
    this.#points = new Map(Object.entries(state?.points ?? {}));
    this.#references = new Map(Object.entries(state?.references ?? {}));
    this.#problems = state?.problems ?? [];
  }

  open(entry: IndexEntry, from?: Json): EntrySink | undefined {
    const references = parseReferencesName(entry.name);
    if (references !== undefined) {
      return pulledSink(async (content) => {
        const { name } = await this.#collection(references);
        const fields = this.#fieldsOf(name);
        for await (const point of parsePoints(content, entry, null)) collectPoint(fields, point);
        this.#references.set(references, (this.#references.get(references) ?? 0) + 1);
      });
    }
    const parsed = parseEntryName(entry.name);
    if (parsed?.kind === 'points')
      return pulledSink((content) => this.#readPoints(parsed.part, entry, content));
    return parsed?.kind === 'snapshot' ? this.#walk(parsed.part, entry, from) : undefined;
  }

  async #readPoints(part: string, entry: IndexEntry, content: AsyncIterable<Uint8Array>): Promise<void> {
    const { config, name } = await this.#collection(part);
    const fields = this.#fieldsOf(name);
    const before = this.#points.get(part);
    const digest = new MultisetDigest();
    if (before) digest.merge(before.digest);
    let count = before?.count ?? 0;
    let last = before?.last ?? '';
    for await (const point of parsePoints(content, entry, config?.filter ?? null)) {
      const { id, canonical } = point;
      if (last !== '' && compareIds(last, id) >= 0)
        throw damaged(`Entry ${entry.name} is not in order of ids`);
      last = id;
      digest.add(canonical);
      collectPoint(fields, point);
      count++;
    }
    this.#points.set(part, { count, digest: digest.hex(), last });
  }

  #walk(part: string, entry: IndexEntry, from: Json | undefined): EntrySink {
    const walk = new SnapshotWalk(entry.name, part, from);
    return {
      write: (chunk) => walk.write(chunk),
      end: async () => {
        this.#problems.push(...snapshotObstacles(await this.#collection(part), walk.end()));
      },
      abort: () => undefined,
      save: () => walk.save(),
    };
  }

  /** Returns the collection for its encoded name. Its configuration is read with the first entry that needs it. */
  async #collection(part: string): Promise<ArchivedCollection> {
    const collection = (await this.#all()).get(part);
    if (!collection)
      throw damaged(`The archive has entries of a collection without a configuration: ${part}`);
    return collection;
  }

  #all(): Promise<ReadonlyMap<string, ArchivedCollection>> {
    this.#collections ??= readCollections(this.#archive).then(
      (collections) => new Map(collections.map((collection) => [collection.part, collection])),
    );
    return this.#collections;
  }

  save(): Json {
    return {
      points: Object.fromEntries(this.#points),
      references: Object.fromEntries(this.#references),
      problems: this.#problems,
    };
  }

  async end(): Promise<ContentFindings> {
    const tallies: Tallies = {};
    const problems = [...this.#problems];
    const none = { count: 0, digest: new MultisetDigest().hex() };
    for (const { name, part, config, snapshot } of (await this.#all()).values()) {
      if (!config) continue;
      const { count, digest } = config.points;
      if (snapshot) {
        if (snapshot.size !== config.snapshot?.size || snapshot.sha256 !== config.snapshot.sha256) {
          problems.push(`the snapshot of collection "${name}" does not match its configuration`);
        }
        const chunks = config.references?.chunks ?? 0;
        if ((this.#references.get(part) ?? 0) !== chunks) {
          problems.push(`collection "${name}" should have ${chunks} entries of references`);
        }
        tallies[`points:${name}`] = { count, digest };
        continue;
      }
      const found = this.#points.get(part) ?? none;
      if (found.count !== count || found.digest !== digest) {
        problems.push(
          `collection "${name}" has ${found.count} points in the archive, and its configuration says ${count}${found.count === count ? ' others' : ''}`,
        );
      }
      tallies[`points:${name}`] = { count: found.count, digest: found.digest };
    }
    return { tallies, problems, warnings: [] };
  }
}

/** Adds the texts in payload fields of a point. */
function collectPoint(fields: readonly CollectedField[], { raw }: PointText): void {
  if (fields.length === 0) return;
  const { payload } = JSON.parse(raw) as { payload?: unknown };
  collectFields(fields, payload);
}

function damaged(problem: string): IntegrityError {
  return damagedArchive(`${problem}.`);
}
