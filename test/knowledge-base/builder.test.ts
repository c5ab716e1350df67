import { createHash } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { xxhash64 } from 'hash-wasm';
import {
  chunkPoints,
  countRecords,
  entityPoints,
  keys,
  nodes,
  relationships,
} from '../../local/knowledge-base/copies.ts';
import { DIMENSIONS } from '../../local/knowledge-base/embedding.ts';
import { ngraf023Layout } from '../../local/knowledge-base/layout.ts';
import { PythonFloat, pythonJson } from '../../local/knowledge-base/python-json.ts';
import { smallBlueprint } from './small.ts';

const layout = ngraf023Layout('demo');

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

async function everything(scale: number) {
  const blueprint = await smallBlueprint();
  return {
    counts: countRecords(blueprint, scale),
    nodes: [...nodes(blueprint, scale)],
    relationships: [...relationships(blueprint, scale)],
    entityPoints: await collect(entityPoints(blueprint, scale)),
    chunkPoints: await collect(chunkPoints(blueprint, scale)),
    keys: [...keys(blueprint, scale, layout)],
  };
}

function digest(value: unknown): string {
  const text = JSON.stringify(value, (_, member) =>
    typeof member === 'bigint'
      ? String(member)
      : member instanceof Float32Array
        ? Buffer.from(member.buffer).toString('hex')
        : member,
  );
  return createHash('sha256').update(text).digest('hex');
}

describe('the knowledge base of the installed packages', () => {
  it('is the same, byte for byte, each time it is built', async () => {
    expect(digest(await everything(2))).toBe(digest(await everything(2)));
  });

  it('has as many records as it states, each with a unique id, at every scale', async () => {
    for (const scale of [1, 3]) {
      const all = await everything(scale);
      const points = [...all.entityPoints, ...all.chunkPoints];
      expect(new Set(all.nodes.map((node) => node.properties.id)).size).toBe(all.counts.entities);
      expect(new Set(all.relationships.map(({ from, to }) => JSON.stringify([from, to]))).size).toBe(
        all.counts.relationships,
      );
      expect(new Set(points.map((point) => point.id)).size).toBe(all.counts.points);
      expect(new Set(all.keys.map(({ key }) => key)).size).toBe(all.counts.keys);
      expect(all.counts.entities).toBeGreaterThan(50 * scale);
    }
  });

  it('starts at scale 2 with exactly the knowledge base of scale 1', async () => {
    const [one, two] = [await everything(1), await everything(2)];
    expect(two.nodes.slice(0, one.nodes.length)).toEqual(one.nodes);
    expect(two.keys.slice(0, one.keys.length)).toEqual(one.keys);
    expect(two.entityPoints.slice(0, one.entityPoints.length)).toEqual(one.entityPoints);
  });

  it('refers only to existing ends, chunks, documents and entities', async () => {
    const all = await everything(2);
    const values = new Map(all.keys.map(({ key, value }) => [key, JSON.parse(value)]));
    const ids = new Set(all.nodes.map((node) => node.properties.id));
    const chunk = (id: string) => values.has(`nano_graphrag:text_chunks:${id}`);
    const dangling: string[] = [];
    const check = (holds: boolean, what: string) => {
      if (!holds) dangling.push(what);
    };
    for (const { properties } of [...all.nodes, ...all.relationships]) {
      for (const id of properties.source_id.split('<SEP>')) check(chunk(id), `source ${id}`);
    }
    for (const { from, to } of all.relationships) check(ids.has(from) && ids.has(to), `${from} -> ${to}`);
    for (const { payload } of all.entityPoints) {
      check(ids.has(payload.entity_name ?? ''), `point ${payload.id}`);
    }
    for (const { payload } of all.chunkPoints) check(chunk(payload.id ?? ''), `point ${payload.id}`);
    for (const [key, value] of values) {
      if (key.includes(':text_chunks:'))
        check(values.has(`nano_graphrag:full_docs:${value.full_doc_id}`), key);
      if (!key.includes(':community_reports:')) continue;
      for (const id of value.nodes) check(ids.has(id), `${key} ${id}`);
      for (const id of value.chunk_ids) check(chunk(id), `${key} ${id}`);
      for (const id of value.sub_communities) check(values.has(`nano_graphrag:community_reports:${id}`), key);
    }
    expect(dangling).toEqual([]);
  });

  it('has point ids that a JavaScript number would corrupt: xxHash64 of the key, as the fork computes it', async () => {
    expect(await xxhash64('')).toBe('ef46db3751d8e999');
    const { entityPoints: points } = await everything(1);
    for (const { id, payload } of points.slice(0, 20)) {
      expect(id).toBe(BigInt(`0x${await xxhash64(payload.id ?? '')}`));
    }
    expect(points.filter(({ id }) => BigInt(Number(id)) !== id).length).toBeGreaterThan(points.length / 2);
  });

  it('has dense vectors of 384 dimensions and length 1, in copies too, all of them different', async () => {
    const { entityPoints: points, chunkPoints: chunks } = await everything(2);
    for (const { dense } of [...points, ...chunks]) {
      expect(dense.length).toBe(DIMENSIONS);
      expect(Math.hypot(...dense)).toBeCloseTo(1, 5);
    }
    const distinct = new Set(points.map(({ dense }) => Buffer.from(dense.buffer).toString('hex')));
    expect(distinct.size).toBe(points.length);
  });

  it('keeps reports for a day, cached answers for twelve hours, and everything else without expiry', async () => {
    const { keys: all } = await everything(1);
    const lifetimes = new Set(all.map(({ key, ttlSeconds }) => `${key.split(':')[1]} ${ttlSeconds}`));
    expect([...lifetimes].sort()).toEqual([
      'community_reports 86400',
      'full_docs undefined',
      'llm_response_cache 43200',
      'text_chunks undefined',
    ]);
  });

  it('writes values as Python does, down to the spaces and the escapes', () => {
    // The expected text was printed by json.dumps of CPython 3.11.
    expect(
      pythonJson({ a: '\u007f é 😀 \b\f\u001b / <', b: [new PythonFloat(1), 1, 0.5, null, true], c: {} }),
    ).toBe(
      '{"a": "\\u007f \\u00e9 \\ud83d\\ude00 \\b\\f\\u001b / <", "b": [1.0, 1, 0.5, null, true], "c": {}}',
    );
  });
});
