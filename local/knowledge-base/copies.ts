import { createHash } from 'node:crypto';
import { createXXHash64 } from 'hash-wasm';
import type { Blueprint, Chunk, Community, Entity } from './blueprint.ts';
import { rotate, type SparseVector } from './embedding.ts';
import { type Layout, TTL_SECONDS } from './layout.ts';
import { PythonFloat, pythonJson } from './python-json.ts';

/** GraphRAG's separator inside `source_id` and merged descriptions. */
const SEPARATOR = '<SEP>';
/** The model name in the cached answers. */
const MODEL = 'gpt-4o-mini';

export interface NodeRecord {
  readonly type: string;
  readonly properties: {
    readonly id: string;
    readonly entity_type: string;
    readonly description: string;
    readonly source_id: string;
    readonly communityIds: readonly number[];
  };
}

export interface RelationshipRecord {
  readonly from: string;
  readonly to: string;
  readonly properties: {
    readonly weight: number;
    readonly description: string;
    readonly source_id: string;
    readonly order: number;
    readonly relation_type: string;
  };
}

export interface PointRecord {
  /** xxHash64 of the key, as an exact integer: most exceed 2^53. */
  readonly id: bigint;
  readonly dense: Float32Array;
  readonly sparse: Readonly<Record<string, SparseVector>>;
  readonly payload: Readonly<Record<string, string>>;
}

export interface KeyRecord {
  readonly key: string;
  readonly value: string;
  /** Absent if the key does not expire. */
  readonly ttlSeconds?: number;
}

/** The record counts of a knowledge base at this scale. */
export function countRecords(blueprint: Blueprint, scale: number) {
  return {
    documents: blueprint.documents.length * scale,
    chunks: blueprint.chunks.length * scale,
    entities: blueprint.entities.length * scale,
    relationships: blueprint.relationships.length * scale,
    communities: blueprint.communities.length * scale,
    points: (blueprint.entities.length + blueprint.chunks.length) * scale,
    keys: (blueprint.documents.length + 2 * blueprint.chunks.length + blueprint.communities.length) * scale,
  };
}
export type RecordCounts = ReturnType<typeof countRecords>;

/** The nodes of `scale` copies. Copy 0 is the unchanged blueprint; the names of the others end in `#2`, `#3`, … */
export function* nodes(blueprint: Blueprint, scale: number): Generator<NodeRecord> {
  for (const copy of copies(blueprint, scale)) {
    for (const entity of blueprint.entities) {
      yield {
        type: entity.type,
        properties: {
          id: copy.entityId(entity),
          entity_type: `"${entity.type}"`,
          description: entity.description,
          source_id: copy.sourceId(entity.sources),
          communityIds: entity.communities.map((community) => copy.communityNumber(community)),
        },
      };
    }
  }
}

/** The relationships of `scale` copies; both ends of each are in the same copy. */
export function* relationships(blueprint: Blueprint, scale: number): Generator<RelationshipRecord> {
  for (const copy of copies(blueprint, scale)) {
    for (const relationship of blueprint.relationships) {
      yield {
        from: copy.entityIdAt(relationship.from),
        to: copy.entityIdAt(relationship.to),
        properties: {
          weight: relationship.weight,
          description: relationship.description,
          source_id: copy.sourceId(relationship.sources),
          order: 1,
          relation_type: relationship.type,
        },
      };
    }
  }
}

/** The points of the collection `entities`. */
export async function* entityPoints(blueprint: Blueprint, scale: number): AsyncGenerator<PointRecord> {
  const pointId = await createPointIds();
  for (const copy of copies(blueprint, scale)) {
    for (const entity of blueprint.entities) {
      const name = copy.entityId(entity);
      const key = `ent-${md5(name)}`;
      yield {
        id: pointId(key),
        dense: rotate(entity.dense, copy.index),
        sparse: { sparse: entity.sparse, sparse_name: entity.sparseName },
        payload: { id: key, entity_name: name, content: name + entity.description },
      };
    }
  }
}

/** The points of the collection `chunks`. */
export async function* chunkPoints(blueprint: Blueprint, scale: number): AsyncGenerator<PointRecord> {
  const pointId = await createPointIds();
  for (const copy of copies(blueprint, scale)) {
    for (const [index, chunk] of blueprint.chunks.entries()) {
      const key = copy.chunkId(index);
      yield {
        id: pointId(key),
        dense: rotate(chunk.dense, copy.index),
        sparse: { sparse: chunk.sparse },
        payload: { id: key, content: copy.text(chunk.content) },
      };
    }
  }
}

/** The Redis keys of `scale` copies: documents, chunks, community reports and the cache of the LLM's answers. */
export function* keys(blueprint: Blueprint, scale: number, layout: Layout): Generator<KeyRecord> {
  const record = (namespace: string, id: string, value: string): KeyRecord => {
    const ttlSeconds = TTL_SECONDS[namespace];
    const key = `${layout.keyPrefix}:${namespace}:${id}`;
    return ttlSeconds === undefined ? { key, value } : { key, value, ttlSeconds };
  };
  const entitiesIn = entitiesByChunk(blueprint);
  for (const copy of copies(blueprint, scale)) {
    for (const [index, document] of blueprint.documents.entries()) {
      yield record('full_docs', copy.documentId(index), pythonJson({ content: copy.text(document.content) }));
    }
    for (const [index, chunk] of blueprint.chunks.entries()) {
      yield record('text_chunks', copy.chunkId(index), chunkJson(copy, chunk));
      const answer = copy.extraction(entitiesIn[index] ?? []);
      const question = md5(`${MODEL} extract ${copy.chunkId(index)}`);
      yield record('llm_response_cache', question, pythonJson({ return: answer, model: MODEL }));
    }
    for (const [index, community] of blueprint.communities.entries()) {
      yield record('community_reports', String(copy.communityNumber(index)), copy.report(index, community));
    }
  }
}

function chunkJson(copy: Copy, chunk: Chunk): string {
  return pythonJson({
    tokens: chunk.tokens,
    content: copy.text(chunk.content),
    chunk_order_index: chunk.order,
    full_doc_id: copy.documentId(chunk.document),
  });
}

/** One copy at a time: its ids are freed before the next one, so memory does not grow with the scale. */
export function* copies(blueprint: Blueprint, scale: number): Generator<Copy> {
  for (let index = 0; index < scale; index++) yield new Copy(blueprint, index);
}

/** One copy of a knowledge base: the ids and texts of its records. */
export class Copy {
  readonly index: number;
  readonly #blueprint: Blueprint;
  readonly #documentIds: string[];
  readonly #chunkIds: string[];

  constructor(blueprint: Blueprint, index: number) {
    this.index = index;
    this.#blueprint = blueprint;
    this.#documentIds = blueprint.documents.map(({ content }) => `doc-${md5(this.text(content))}`);
    // The order is part of the hashed text, so that two equal chunks in one document have different ids.
    this.#chunkIds = blueprint.chunks.map(
      ({ content, document, order }) =>
        `chunk-${md5(`${this.documentId(document)} ${order} ${this.text(content)}`)}`,
    );
  }

  text(content: string): string {
    return this.index === 0 ? content : `${content}\n\n(copy ${this.index + 1})`;
  }

  documentId(index: number): string {
    return at(this.#documentIds, index);
  }

  chunkId(index: number): string {
    return at(this.#chunkIds, index);
  }

  /** In quotes and upper case, as nano-graphrag stores the LLM's answer. */
  entityId(entity: Entity): string {
    return `"${this.entityName(entity)}"`;
  }

  entityName(entity: Entity): string {
    return this.index === 0 ? entity.name : `${entity.name} #${this.index + 1}`;
  }

  entityIdAt(index: number): string {
    return this.entityId(at(this.#blueprint.entities, index));
  }

  sourceId(sources: readonly number[]): string {
    return sources.map((source) => this.chunkId(source)).join(SEPARATOR);
  }

  communityNumber(index: number): number {
    return this.index * this.#blueprint.communities.length + index;
  }

  /** The LLM's answer to the extraction prompt for a chunk, in nano-graphrag's tuple format. */
  extraction(entities: readonly number[]): string {
    const tuples = entities.map((index) => {
      const entity = at(this.#blueprint.entities, index);
      return `("entity"<|>${this.entityId(entity)}<|>"${entity.type}"<|>"${entity.description}")`;
    });
    return `${tuples.join('##')}<|COMPLETE|>`;
  }

  report(index: number, community: Community): string {
    const { entities, relationships, communities } = this.#blueprint;
    const names = community.entities.map((entity) => this.entityIdAt(entity));
    const summary = `${community.title}: ${names.length} entities and ${community.relationships.length} relationships.`;
    const findings = community.entities.slice(0, 5).map((entity) => ({
      summary: this.entityIdAt(entity),
      explanation: at(entities, entity).description,
    }));
    const sections = findings
      .map((finding) => `## ${finding.summary}\n\n${finding.explanation}`)
      .join('\n\n');
    return pythonJson({
      report_string: `# ${community.title}\n\n${summary}\n\n${sections}`,
      report_json: {
        title: community.title,
        summary,
        rating: new PythonFloat(Math.min(10, 1 + names.length / 16)),
        rating_explanation: 'By the number of entities.',
        findings,
      },
      level: community.level,
      title: `Cluster ${this.communityNumber(index)}`,
      edges: community.relationships.map((relationship) => {
        const { from, to } = at(relationships, relationship);
        return [this.entityIdAt(from), this.entityIdAt(to)].sort();
      }),
      nodes: names,
      chunk_ids: community.sources.map((source) => this.chunkId(source)),
      occurrence: new PythonFloat(community.sources.length / largestCommunity(communities)),
      sub_communities: communities.flatMap(({ parent }, child) =>
        parent === index ? [String(this.communityNumber(child))] : [],
      ),
    });
  }
}

function entitiesByChunk(blueprint: Blueprint): number[][] {
  const named = blueprint.chunks.map((): number[] => []);
  for (const [index, entity] of blueprint.entities.entries()) {
    for (const source of entity.sources) named[source]?.push(index);
  }
  return named;
}

function largestCommunity(communities: readonly Community[]): number {
  return Math.max(1, ...communities.map(({ sources }) => sources.length));
}

function md5(text: string): string {
  return createHash('md5').update(text).digest('hex');
}

/** xxHash64 with seed 0, as Python's `xxhash.xxh64_intdigest`. */
async function createPointIds(): Promise<(key: string) => bigint> {
  const hasher = await createXXHash64();
  return (key) => BigInt(`0x${hasher.init().update(key).digest('hex')}`);
}

function at<T>(list: readonly T[], index: number): T {
  const value = list[index];
  if (value === undefined) throw new RangeError(`The blueprint has no record ${index}.`);
  return value;
}
