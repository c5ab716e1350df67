/**
 * One operation on an archive in a separate process, for bench/archive.ts. Writes
 * `{"seconds", "peak_bytes", "bytes_read", "bytes"}` on standard output: time without the start of Node, peak resident
 * memory, bytes read from the archive, size of the archive.
 *
 *     node bench/archive-step.ts write <folder> <archive> <codec> <level>      all files of a folder
 *     node bench/archive-step.ts generate <mebibytes> <archive> <codec> <level> entries of 32 MiB and one of 2 bytes
 *     node bench/archive-step.ts verify <archive>
 *     node bench/archive-step.ts open <archive> <entry>                        manifest and one entry
 */
import { randomBytes } from 'node:crypto';
import { createWriteStream, readdirSync, statSync } from 'node:fs';
import { open as openFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { Codec } from '../shared/archive/format/codec.ts';
import type { EntryPiece } from '../shared/archive/format/types.ts';
import { openArchive } from '../shared/archive/read/open.ts';
import { fileSource } from '../shared/archive/read/sources.ts';
import { verifyArchive } from '../shared/archive/read/verify.ts';
import { writeArchive } from '../shared/archive/write/write.ts';

const MiB = 1024 ** 2;
const READ_BYTES = MiB;
const ENTRY_BYTES = 32 * MiB;
const room = Buffer.allocUnsafeSlow(READ_BYTES);

async function* files(folder: string): AsyncGenerator<EntryPiece> {
  for (const name of readdirSync(folder).sort()) {
    const path = join(folder, name);
    const { size } = statSync(path);
    yield {
      name: `graph/${name}`,
      size,
      offset: 0,
      length: size,
      data: content(path),
    };
  }
}

/** A file's content, in one reused buffer, as exporters yield it. */
async function* content(path: string): AsyncGenerator<Uint8Array> {
  const file = await openFile(path);
  try {
    for (;;) {
      const { bytesRead } = await file.read(room);
      if (bytesRead === 0) return;
      yield room.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

/** Half compressible text and half incompressible noise. */
async function* generated(mebibytes: number): AsyncGenerator<EntryPiece> {
  const block = Buffer.concat([
    randomBytes(READ_BYTES / 2),
    Buffer.alloc(READ_BYTES / 2, '{"id":"entity","description":"a description","n":1}\n'),
  ]);
  for (let at = 0; at * ENTRY_BYTES < mebibytes * MiB; at++) {
    const data = (function* () {
      for (let sent = 0; sent < ENTRY_BYTES; sent += block.length) yield block;
    })();
    const name = `vectors/chunk-${String(at).padStart(5, '0')}.bin`;
    yield { name, size: ENTRY_BYTES, offset: 0, length: ENTRY_BYTES, data };
  }
  yield { name: 'kv/small.json', size: 2, offset: 0, length: 2, data: [Buffer.from('{}')] };
}

async function write(pieces: AsyncIterable<EntryPiece>, path: string, codec: string, level: string) {
  const archive = writeArchive(
    pieces,
    {
      backup_id: 'bench',
      created_at: '2026-01-01T00:00:00Z',
      storage_backends: {},
      statistics: {},
      scope: { type: 'full', stores: [] },
      tallies: {},
      tags: [],
    },
    { codec: Codec.parse(codec), level: Number(level) },
  );
  await pipeline(archive, createWriteStream(path, { highWaterMark: 4 * MiB }));
  return { bytes: statSync(path).size, bytes_read: 0 };
}

async function verify(path: string) {
  const source = await fileSource(path);
  const { problems } = await verifyArchive(source, {
    cursor: null,
    timeLeft: () => Number.POSITIVE_INFINITY,
  });
  if (problems.length > 0) throw new Error(problems.join('; '));
  await source.close();
  return { bytes: source.size, bytes_read: source.size };
}

async function open(path: string, name: string) {
  const source = await fileSource(path);
  let read = 0;
  const counted = {
    ...source,
    read(offset: number, length: number) {
      read += length;
      return source.read(offset, length);
    },
  };
  const archive = await openArchive(counted);
  const entry = await archive.find(name);
  if (!entry) throw new Error(`no entry ${name}`);
  for await (const chunk of archive.open(entry)) if (chunk.length === 0) throw new Error('an empty chunk');
  await source.close();
  return { bytes: source.size, bytes_read: read };
}

const [step, first = '', second = '', third = '', fourth = ''] = process.argv.slice(2);
const start = performance.now();
const result =
  step === 'write'
    ? await write(files(first), second, third, fourth)
    : step === 'generate'
      ? await write(generated(Number(first)), second, third, fourth)
      : step === 'verify'
        ? await verify(first)
        : await open(first, second);
const seconds = (performance.now() - start) / 1000;
// Node reports kibibytes.
const peak_bytes = process.resourceUsage().maxRSS * 1024;
process.stdout.write(`${JSON.stringify({ seconds, peak_bytes, ...result })}\n`);
