import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { IntegrityError } from '../../core/errors.ts';
import { LIMITS } from '../../core/limits.ts';
import type { Codec } from '../format/codec.ts';
import { compressMember } from '../format/codec.ts';
import { encodeFooter, type Footer, type Region } from '../format/footer.ts';
import { compareSumsLines, formatIndexLine, formatSumsLine, type IndexLine } from '../format/lines.ts';
import { formatVersionOf, Manifest, type ManifestDraft } from '../format/manifest.ts';
import { INDEX_NAME, MANIFEST_NAME, NameRegister, SUMS_NAME } from '../format/names.ts';
import { BLOCK } from '../format/tar.ts';
import type { EntryPiece } from '../format/types.ts';
import { encodeSegment } from './segment.ts';

/** Lines of SHA256SUMS that are sorted in memory; more are sorted in several passes over the entries. */
const SORTED_AT_ONCE = 100_000;
/** Text is yielded in chunks of about this many characters. */
const TEXT_CHUNK = 64 * 1024;

export interface Tail {
  readonly codec: Codec;
  readonly level?: number;
  /** The archive's entries in order. Called several times, so that no list of them is held in memory. */
  readonly entries: () => AsyncIterable<IndexLine>;
  /** Where the data ends and the tail begins, in bytes. */
  readonly offset: number;
  readonly manifest: ManifestDraft;
}

/**
 * Encodes everything after the data of an archive: `index.jsonl`, `SHA256SUMS`, `manifest.json`, tar's end, the
 * footer. Returns the finished manifest. Throws InvalidInputError if two entries have equivalent names,
 * IntegrityError if the entries are not contiguous.
 */
export async function* encodeTail(tail: Tail): AsyncGenerator<Buffer, Manifest> {
  const { codec, entries, offset } = tail;
  const summary = await summarize(tail);
  const sums = {
    size: summary.sumsBytes,
    hash: createHash('sha256'),
  };
  const index: EntryPiece = piece(INDEX_NAME, summary.indexBytes, chunked(map(entries(), formatIndexLine)));
  const indexRegion = yield* region(tail, index);
  const sorted = (async function* () {
    for await (const line of sortedSums(entries, summary.entries)) {
      sums.hash.update(line);
      yield line;
    }
  })();
  const sumsRegion = yield* region(tail, piece(SUMS_NAME, sums.size, chunked(sorted)));
  const manifest = Manifest.parse({
    format_version: formatVersionOf(tail.manifest.scope.stores),
    ...tail.manifest,
    checksum: sums.hash.digest('hex'),
    index: { entries: summary.entries, bytes: summary.bytes, sha256: summary.indexSha256 },
  });
  const text = Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`, 'utf8');
  if (text.length > LIMITS.manifestBytes) {
    throw new IntegrityError(
      `The manifest would be ${text.length} bytes; the limit is ${LIMITS.manifestBytes}.`,
      {
        remedy: 'Back up fewer collections and namespaces at once.',
      },
    );
  }
  const manifestRegion = yield* region(tail, piece(MANIFEST_NAME, text.length, [text]));
  const end = await compressMember(codec, 1, Buffer.alloc(2 * BLOCK));
  yield end;
  const footer: Footer = {
    codec,
    offset,
    index: indexRegion,
    sums: sumsRegion,
    manifest: manifestRegion,
    end: { length: end.length, crc32: crc32(end) },
  };
  yield encodeFooter(footer);
  return manifest;
}

interface Summary {
  readonly entries: number;
  /** Uncompressed bytes of all entries. */
  readonly bytes: number;
  readonly indexBytes: number;
  readonly indexSha256: string;
  readonly sumsBytes: number;
}

async function summarize({ entries, offset }: Tail): Promise<Summary> {
  const names = new NameRegister(LIMITS, 'This backup');
  for (const name of [INDEX_NAME, SUMS_NAME, MANIFEST_NAME]) names.add(name);
  const hash = createHash('sha256');
  let count = 0;
  let bytes = 0;
  let indexBytes = 0;
  let sumsBytes = 0;
  let position = 0;
  for await (const entry of entries()) {
    names.add(entry.name);
    if (entry.offset !== position) throw wrongOffset(entry.name, entry.offset, position);
    position += entry.length;
    count++;
    bytes += entry.size;
    const line = formatIndexLine(entry);
    hash.update(line);
    indexBytes += Buffer.byteLength(line);
    sumsBytes += Buffer.byteLength(formatSumsLine(entry));
  }
  if (position !== offset) throw wrongOffset('the last entry', offset, position);
  return { entries: count, bytes, indexBytes, indexSha256: hash.digest('hex'), sumsBytes };
}

function wrongOffset(what: string, is: number, expected: number): IntegrityError {
  return new IntegrityError(`In this backup, ${what} is at byte ${is} instead of ${expected}.`, {
    remedy: 'Start the backup again, and report this as a bug in ngbak.',
  });
}

/**
 * All lines of SHA256SUMS, sorted by their bytes. Digests are evenly distributed, so a slice of their range is a
 * slice of the lines: each pass over the entries keeps one slice and sorts it.
 */
async function* sortedSums(entries: Tail['entries'], count: number): AsyncGenerator<string> {
  const slices = Math.max(1, Math.ceil(count / SORTED_AT_ONCE));
  const sliceOf = (sha256: string) =>
    Math.floor((Number.parseInt(sha256.slice(0, 8), 16) / 2 ** 32) * slices);
  for (let slice = 0; slice < slices; slice++) {
    const lines: string[] = [];
    for await (const entry of entries()) {
      if (sliceOf(entry.sha256) === slice) lines.push(formatSumsLine(entry));
    }
    yield* lines.sort(compareSumsLines);
  }
}

function piece(name: string, size: number, data: EntryPiece['data']): EntryPiece {
  return { name, size, offset: 0, length: size, data };
}

async function* region({ codec, level }: Tail, content: EntryPiece): AsyncGenerator<Buffer, Region> {
  const pieces = (async function* () {
    yield content;
  })();
  const options = { name: content.name, codec, ...(level === undefined ? {} : { level }) };
  const { bytes, crc32: crc } = yield* encodeSegment(pieces, options, null);
  return { length: bytes, crc32: crc };
}

async function* map<In, Out>(inputs: AsyncIterable<In>, change: (input: In) => Out): AsyncGenerator<Out> {
  for await (const input of inputs) yield change(input);
}

async function* chunked(lines: AsyncIterable<string>): AsyncGenerator<Buffer> {
  let text = '';
  for await (const line of lines) {
    text += line;
    if (text.length >= TEXT_CHUNK) {
      yield Buffer.from(text, 'utf8');
      text = '';
    }
  }
  if (text !== '') yield Buffer.from(text, 'utf8');
}
