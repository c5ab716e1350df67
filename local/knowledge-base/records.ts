import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import type { Blueprint } from './blueprint.ts';
import { copies } from './copies.ts';
import { embed, rotate } from './embedding.ts';

/**
 * A record of a knowledge base in no system's form: programs that use a system's own classes turn it into theirs. A vector is
 * the base64 text of its elements, as 32-bit floats.
 */
export type SourceRecord =
  | { kind: 'document'; id: string; content: string }
  | {
      kind: 'chunk';
      id: string;
      document: string;
      order: number;
      tokens: number;
      content: string;
      vector: string;
    }
  | {
      kind: 'entity';
      name: string;
      type: string;
      description: string;
      /** The ids of the chunks that mention it. */
      sources: string[];
      vector: string;
    }
  | {
      kind: 'relationship';
      from: string;
      to: string;
      type: string;
      description: string;
      weight: number;
      sources: string[];
      vector: string;
    }
  | {
      kind: 'community';
      number: number;
      level: number;
      /** The number of the outer one; -1 at level 0. */
      parent: number;
      title: string;
      entities: string[];
      /** The ends of its relationships. */
      relationships: [string, string][];
      sources: string[];
      summary: string;
      vector: string;
    };

/** The records of `scale` copies, one copy after the other, what is referred to before what refers to it. */
export function* records(blueprint: Blueprint, scale: number): Generator<SourceRecord> {
  const { documents, chunks, entities, relationships, communities } = blueprint;
  for (const copy of copies(blueprint, scale)) {
    const name = (index: number) => nameAt(blueprint, index, copy.entityName.bind(copy));
    const chunkIds = (sources: readonly number[]) => sources.map((source) => copy.chunkId(source));
    const vectorOf = (vector: Float32Array) => base64(rotate(vector, copy.index));
    for (const [index, { content }] of documents.entries()) {
      yield { kind: 'document', id: copy.documentId(index), content: copy.text(content) };
    }
    for (const [index, { document, order, tokens, content, dense }] of chunks.entries()) {
      yield {
        kind: 'chunk',
        id: copy.chunkId(index),
        document: copy.documentId(document),
        order,
        tokens,
        content: copy.text(content),
        vector: vectorOf(dense),
      };
    }
    for (const entity of entities) {
      const { type, description, sources, dense } = entity;
      yield {
        kind: 'entity',
        name: copy.entityName(entity),
        type,
        description,
        sources: chunkIds(sources),
        vector: vectorOf(dense),
      };
    }
    for (const { from, to, type, description, weight, sources } of relationships) {
      yield {
        kind: 'relationship',
        from: name(from),
        to: name(to),
        type,
        description,
        weight,
        sources: chunkIds(sources),
        vector: base64(embed(`${name(from)} ${name(to)} ${description}`)),
      };
    }
    for (const [index, community] of communities.entries()) {
      const { title, level, parent } = community;
      const summary = `${title}: ${community.entities.length} entities and ${community.relationships.length} relationships.`;
      yield {
        kind: 'community',
        number: copy.communityNumber(index),
        level,
        parent: parent === undefined ? -1 : copy.communityNumber(parent),
        title,
        entities: community.entities.map(name),
        relationships: community.relationships.flatMap((at): [string, string][] => {
          const relationship = relationships[at];
          return relationship ? [[name(relationship.from), name(relationship.to)]] : [];
        }),
        sources: chunkIds(community.sources),
        summary,
        vector: base64(embed(summary)),
      };
    }
  }
}

/** Writes the records as lines of JSON into this file. */
export async function writeRecords(
  path: string,
  blueprint: Blueprint,
  options: { scale: number; signal: AbortSignal },
): Promise<void> {
  const lines = function* () {
    for (const record of records(blueprint, options.scale)) yield `${JSON.stringify(record)}\n`;
  };
  await pipeline(lines, createWriteStream(path), { signal: options.signal });
}

function nameAt(
  { entities }: Blueprint,
  index: number,
  name: (entity: Blueprint['entities'][number]) => string,
): string {
  const entity = entities[index];
  if (entity === undefined) throw new RangeError(`The blueprint has no entity ${index}.`);
  return name(entity);
}

function base64(vector: Float32Array): string {
  return Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString('base64');
}
