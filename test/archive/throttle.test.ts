import { expect, test } from '@jest/globals';
import type { EntryReader } from '../../shared/archive/format/types.ts';
import { throttle } from '../../shared/archive/read/throttle.ts';
import { MemoryArchive } from '../stores/memory-archive.ts';

const CONTENT = Buffer.alloc(200_000, 'x');

function archiveOf(content: Buffer): MemoryArchive {
  const archive = new MemoryArchive();
  archive.set('kv/a.json', content);
  return archive;
}

async function read(archive: EntryReader): Promise<Buffer> {
  const entry = await archive.find('kv/a.json');
  if (!entry) throw new Error('the entry is gone');
  const chunks: Uint8Array[] = [];
  for await (const chunk of archive.open(entry)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

test('an archive that is read at a limited rate has the same content', async () => {
  const slow = throttle(archiveOf(CONTENT), 1_000_000, new AbortController().signal);
  expect((await read(slow)).equals(CONTENT)).toBe(true);
});

test('an archive is read no faster than the limit, and a reader that is stopped does not wait any longer', async () => {
  // At one byte a second, the second chunk would arrive hours later.
  const slow = throttle(archiveOf(CONTENT), 1, AbortSignal.timeout(100));
  await expect(read(slow)).rejects.toMatchObject({ name: 'AbortError' });
});
