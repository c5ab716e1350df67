/**
 * Restores one large file into a folder in S3 and kills itself: `killed-restore.ts LOCATION WHEN`. 1: after the record
 * that an upload begins, before it does; 2: after S3 has begun it, before its ID is recorded; 3: in the middle of the
 * file. Prints each record as a line of JSON.
 */
import { writeSync } from 'node:fs';
import type { EntryReader, IndexEntry } from '../../../shared/archive/format/types.ts';
import { filesAdapter } from '../../../shared/stores/files/adapter.ts';
import { legContext } from '../memory-archive.ts';

const [, , location = '', when = ''] = process.argv;
const content = Buffer.alloc(12 * 1024 ** 2, 'x');
const entry = { name: 'kv/files/large.json', size: content.length, sha256: '0'.repeat(64) } as IndexEntry;

async function die(): Promise<never> {
  process.kill(process.pid, 'SIGKILL');
  return new Promise(() => undefined);
}

const archive = {
  async *entries() {
    yield entry;
  },
  async *open() {
    yield content.subarray(0, 6 * 1024 ** 2);
    await recorded;
    if (when === '3') await die();
    yield content.subarray(6 * 1024 ** 2);
  },
} as unknown as EntryReader;

let records = 0;
const { promise: recorded, resolve } = Promise.withResolvers<void>();
const leftovers = {
  async add(id: string, value: unknown): Promise<void> {
    records++;
    if (when === '2' && records === 2) await die();
    writeSync(1, `${JSON.stringify({ id, value })}\n`);
    if (when === '1') await die();
    if (records === 2) resolve();
  },
  async *all() {
    // Nothing is cleaned up here.
  },
};
const store = filesAdapter.create({ location }, filesAdapter.Scope.parse({}), { target: 'test' });
const options = { mode: 'replace', onConflict: 'overwrite' } as const;
await store.load({ archive, options, cursor: null, context: legContext({ leftovers }) });
