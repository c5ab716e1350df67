import { createHash } from 'node:crypto';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { openArchive } from '../../shared/archive/read/open.ts';
import { bufferSource } from '../../shared/archive/read/sources.ts';
import type { Content } from '../archive/build.ts';
import { type Forgery, forge, rawArchive, rawEntry } from '../archive/forge.ts';
import { withClients } from './content.ts';
import { type Prepared, prepareTrial, readTarget, settled } from './restore-trial.ts';

/** A valid archive of the target, taken apart, so that each change is its only fault. */
interface Parts {
  readonly bytes: Buffer;
  readonly contents: readonly Content[];
  readonly manifest: Record<string, unknown>;
}

let prepared: Prepared;
let parts: Parts;

beforeAll(async () => {
  prepared = await prepareTrial();
  const bytes = Buffer.from(prepared.before.archive);
  const archive = await openArchive(bufferSource('sound.ngbak', bytes));
  const contents: Content[] = [];
  for await (const entry of archive.entries('')) {
    const chunks: Uint8Array[] = [];
    for await (const chunk of archive.open(entry)) chunks.push(chunk);
    contents.push({ name: entry.name, data: Buffer.concat(chunks) });
  }
  parts = { bytes, contents, manifest: JSON.parse(JSON.stringify(archive.manifest)) };
});

afterAll(() => prepared.remove());

/** The valid archive with other contents or another manifest; all digests match. */
function modified(
  change: (text: string, name: string) => string = (text) => text,
  manifest: Record<string, unknown> = {},
  forgery: Forgery = {},
): Promise<Buffer> {
  const contents = parts.contents.map(({ name, data }) => {
    const text = Buffer.from(data).toString('latin1');
    const changed = change(text, name);
    return { name, data: changed === text ? data : Buffer.from(changed, 'latin1') };
  });
  return forge({
    contents,
    manifest: ({ checksum, index }) => ({ ...parts.manifest, ...manifest, checksum, index }),
    ...forgery,
  });
}

/** Changes snapshots, with matching digests, and the configurations that belong to them. */
function withSnapshots(
  change: (text: string) => string,
  configuration: (text: string) => string = (text) => text,
  manifest: Record<string, unknown> = {},
): Promise<Buffer> {
  const sha256 = (text: string) => createHash('sha256').update(text, 'latin1').digest('hex');
  const digests = new Map<string, string>();
  for (const { name, data } of parts.contents) {
    if (!name.endsWith('.snapshot')) continue;
    const text = Buffer.from(data).toString('latin1');
    digests.set(sha256(text), sha256(change(text)));
  }
  return modified((text, name) => {
    if (name.endsWith('.snapshot')) return change(text);
    if (!/^vectors\/.*config\.json$/.test(name)) return text;
    let changed = configuration(text);
    for (const [before, after] of digests) changed = changed.replaceAll(before, after);
    return changed;
  }, manifest);
}

/** Changes the first line of the first entry with a matching name. */
function firstLine(pattern: RegExp, change: (line: Record<string, unknown>) => unknown) {
  let done = false;
  return modified((text, name) => {
    if (done || !pattern.test(name)) return text;
    done = true;
    const [line = '', ...rest] = text.split('\n');
    const changed = change(JSON.parse(Buffer.from(line, 'latin1').toString('utf8')));
    return [Buffer.from(JSON.stringify(changed)).toString('latin1'), ...rest].join('\n');
  });
}

const corpus: [string, () => Promise<Buffer> | Buffer, RegExp][] = [
  ['that lacks its last byte', () => parts.bytes.subarray(0, -1), /truncated|ends|incomplete|damaged/i],
  ['of which only the first KiB came', () => parts.bytes.subarray(0, 1024), /truncated|ends|damaged/i],
  [
    'with bytes after its end',
    () => Buffer.concat([parts.bytes, Buffer.alloc(100, 7)]),
    /archive|end|after/i,
  ],
  [
    'of a newer format',
    () => modified(undefined, { format_version: '2.0' }),
    /2\.0.*newer|newer.*2\.0|version/i,
  ],
  ['of a format that never existed', () => modified(undefined, { format_version: '0.1' }), /0\.1|version/i],
  ['without a format version', () => modified(undefined, { format_version: undefined }), /version|format/i],
  ['whose id leads out of the bucket', () => modified(undefined, { backup_id: '../../x' }), /backup_id/],
  [
    'whose manifest is not JSON',
    () => modified(undefined, {}, { manifestText: () => '{"format_' }),
    /manifest/,
  ],
  [
    'whose manifest counts other records than it holds',
    () =>
      modified(undefined, {
        tallies: JSON.parse(
          JSON.stringify(parts.manifest.tallies).replace(/"nodes":\{"count":(\d+)/, '"nodes":{"count":9$1'),
        ),
      }),
    /states 9\d+ nodes, but the archive contains \d+/,
  ],
  [
    'of another tool',
    () => rawArchive([rawEntry({ name: 'velero-backup.json', data: Buffer.from('{"version":1}') })]),
    /no manifest\.json/,
  ],
  ['that is a zip file', () => Buffer.from('PK\u0003\u0004 and so on'), /not an ngbak archive/],
  [
    'with a path to the parent folder',
    () => rawArchive([rawEntry({ name: '../../etc/cron.d/x', data: Buffer.from('x') })]),
    /parent/,
  ],
  ['with a symbolic link', () => rawArchive([rawEntry({ name: 'kv/x.json', type: '2' })]), /symbolic link/],
  [
    'that claims more bytes than any backup has',
    () =>
      rawArchive([
        rawEntry({ name: 'kv/x.json', size: Buffer.from([0x80, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0]) }),
      ]),
    /the limit is/,
  ],
  [
    'whose digests do not fit',
    () =>
      modified(
        undefined,
        {},
        { index: (lines) => lines.map((line, i) => (i ? line : { ...line, sha256: '0'.repeat(64) })) },
      ),
    /damaged|digest|SHA-256/i,
  ],
  [
    'with a node that is not JSON',
    () => modified((text, name) => (/nodes-/.test(name) ? `{"type":${text}` : text)),
    /nodes-/,
  ],
  [
    'with nodes of another knowledge base',
    () =>
      modified(
        (text, name) => (/nodes-/.test(name) ? text.replaceAll('GraphRAG_default', 'GraphRAG_other') : text),
        { tallies: {} },
      ),
    /GraphRAG_default/,
  ],
  [
    'with a constraint that is a statement',
    () => firstLine(/schema\.jsonl$/, (line) => ({ ...line, kind: 'MATCH (n) DETACH DELETE n' })),
    /schema\.jsonl/,
  ],
  [
    'with vectors of another dimension',
    () =>
      modified((text, name) =>
        /^vectors\/.*config\.json$/.test(name)
          ? text.replaceAll('"size":384', '"size":768').replaceAll('"size": 384', '"size": 768')
          : text,
      ),
    /768.*384/,
  ],
  [
    'with a snapshot that is none',
    () => modified((text, name) => (name.endsWith('.snapshot') ? 'not a snapshot' : text)),
    /snapshot/,
  ],
  [
    'with a truncated snapshot',
    () => modified((text, name) => (name.endsWith('.snapshot') ? text.slice(0, text.length / 2) : text)),
    /snapshot.*(truncated|ends in the middle)/,
  ],
  [
    'with snapshots whose segments are damaged where only the server looks',
    () => withSnapshots((text) => text.replaceAll('"vector_data"', '"vector_dat_"')),
    /snapshot/,
  ],
  [
    'with snapshots of which the points are others than the archive states',
    () =>
      withSnapshots(
        (text) => text,
        (text) => text.replace(/"digest":\s*"[0-9a-f]{64}"/, `"digest":"${'0'.repeat(64)}"`),
        { tallies: {} },
      ),
    /does not contain the points stated in the archive/,
  ],
  [
    'with a collection that is not in the scope of the target',
    () =>
      modified(
        (text, name) =>
          /^vectors\/.*config\.json$/.test(name)
            ? text.replace(/"collection":\s*"entities"/, `"collection":"stranger"`)
            : text,
        { tallies: {} },
      ),
    /"stranger".*not in the target's scope/,
  ],
  [
    'with keys of another knowledge base',
    () =>
      modified(
        (text, name) => (/^kv\//.test(name) ? text.replaceAll('nano_graphrag:', 'someone_else:') : text),
        {
          tallies: {},
          // Of an unknown scope.
          scope: { ...(parts.manifest.scope as object), scopes: undefined },
        },
      ),
    /key "someone_else:.* is not part of the target's scope/,
  ],
];

describe('an archive', () => {
  test.each(corpus)(
    '%s is refused with a reason, and the target is unchanged',
    async (_name, make, reason) => {
      const { trial, now } = prepared;
      const job = await trial.stack.restoreByUpload(trial.target, await make());
      expect(job.error?.message).toMatch(reason);
      // Found before anything was written: no rollback was necessary.
      expect(job.state).toBe('failed');
      // A reader of this message alone must know what to do, and that nothing is lost.
      process.stderr.write(`${_name}: ${job.state}: ${job.error?.message}\n`);
      expect(await settled(trial, job.job_id)).toEqual([]);
      expect(await readTarget(trial)).toEqual(now.held);
    },
  );
});

describe('an archive that poses as a safety backup whose scope was the whole server', () => {
  const scope = () => ({
    ...(parts.manifest.scope as object),
    scopes: { graph: {}, vectors: {}, kv: { prefix: '' } },
  });
  const seekable = () => modified(undefined, { tags: ['pre-restore'], scope: scope() });

  test.each<[string, () => Promise<Buffer>]>([
    ['seekable', seekable],
    ['packed again by tar', async () => gzipSync(gunzipSync(await seekable()))],
  ])('(%s) does not touch the data of others on the same servers', async (_name, make) => {
    const { trial } = prepared;
    await withClients(async ({ cypher, redis, qdrant }) => {
      const read = async () => ({
        keys: (await redis.keys('bystander:*')).sort(),
        nodes: await cypher('MATCH (n:Bystander) RETURN n.i AS i ORDER BY i'),
        collection: (await qdrant('GET', '/collections/bystanders/exists')).result,
      });
      try {
        await redis.mset(Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`bystander:${i}`, 'x'])));
        await cypher('UNWIND range(1, 30) AS i CREATE (:Bystander {i: i})');
        await qdrant('PUT', '/collections/bystanders', { vectors: { size: 2, distance: 'Dot' } });
        const before = await read();
        const job = await trial.stack.restoreByUpload(trial.target, await make());
        expect(['completed', 'failed', 'rolled_back']).toContain(job.state);
        expect(await settled(trial, job.job_id)).toEqual([]);
        expect(await read()).toEqual(before);
        expect(before.keys).toHaveLength(50);
      } finally {
        await redis.del((await redis.keys('bystander:*')).concat('bystander:none'));
        await cypher('MATCH (n:Bystander) DELETE n');
        await qdrant('DELETE', '/collections/bystanders');
      }
    });
  });
});
