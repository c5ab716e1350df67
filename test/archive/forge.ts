import { createHash } from 'node:crypto';
import { crc32, gzipSync } from 'node:zlib';
import { type Codec, compressMember } from '../../shared/archive/format/codec.ts';
import { encodeFooter, type Region } from '../../shared/archive/format/footer.ts';
import { formatIndexLine, formatSumsLine, type IndexLine } from '../../shared/archive/format/lines.ts';
import { encodeSegment } from '../../shared/archive/write/segment.ts';
import { type Content, collect, DRAFT, piecesOf } from './build.ts';

const sha256 = (data: string | Uint8Array) => createHash('sha256').update(data).digest('hex');

export interface Forgery {
  readonly contents?: readonly Content[];
  readonly codec?: Codec;
  /** Functions that falsify a part before its dependents are computed, so that nothing else is wrong. */
  readonly index?: (lines: IndexLine[]) => IndexLine[];
  readonly indexText?: (text: string) => string;
  readonly sums?: (text: string) => string;
  readonly manifest?: (manifest: Record<string, unknown>) => unknown;
  readonly manifestText?: (text: string) => string;
  readonly end?: Buffer;
  readonly data?: (data: Buffer) => Buffer;
  readonly footer?: (footer: Parameters<typeof encodeFooter>[0]) => Parameters<typeof encodeFooter>[0];
}

/**
 * Builds a seekable archive by hand, with one part falsified: all digests match, so only the rule itself can refuse it.
 */
export async function forge(forgery: Forgery = {}): Promise<Buffer> {
  const codec = forgery.codec ?? 'gzip';
  const contents = forgery.contents ?? [
    { name: 'graph/a.jsonl', data: Buffer.from('{"a":1}\n') },
    { name: 'kv/b.json', data: Buffer.from('{"b":2}') },
  ];
  const encoded = await collect(encodeSegment(piecesOf(contents), { name: 'forged', codec }, null));
  const data = forgery.data?.(encoded.bytes) ?? encoded.bytes;
  const lines = forgery.index?.(encoded.result.entries) ?? encoded.result.entries;
  const plainIndex = lines.map(formatIndexLine).join('');
  const indexText = forgery.indexText?.(plainIndex) ?? plainIndex;
  const plainSums = lines.map(formatSumsLine).sort().join('');
  const sumsText = forgery.sums?.(plainSums) ?? plainSums;
  const manifest = {
    format_version: '1.0',
    ...DRAFT,
    checksum: sha256(sumsText),
    index: {
      entries: lines.length,
      bytes: lines.reduce((sum, { size }) => sum + size, 0),
      sha256: sha256(indexText),
    },
  };
  const plainManifest = JSON.stringify(forgery.manifest?.(manifest) ?? manifest);
  const manifestText = forgery.manifestText?.(plainManifest) ?? plainManifest;
  const region = async (name: string, text: string): Promise<{ bytes: Buffer; region: Region }> => {
    const content = [{ name, data: Buffer.from(text) }];
    const { bytes } = await collect(encodeSegment(piecesOf(content), { name, codec }, null));
    return { bytes, region: { length: bytes.length, crc32: crc32(bytes) } };
  };
  const index = await region('index.jsonl', indexText);
  const sums = await region('SHA256SUMS', sumsText);
  const manifestEntry = await region('manifest.json', manifestText);
  const end = await compressMember(codec, 6, forgery.end ?? Buffer.alloc(1024));
  const footer = {
    codec,
    offset: data.length,
    index: index.region,
    sums: sums.region,
    manifest: manifestEntry.region,
    end: { length: end.length, crc32: crc32(end) },
  };
  return Buffer.concat([
    data,
    index.bytes,
    sums.bytes,
    manifestEntry.bytes,
    end,
    encodeFooter(forgery.footer?.(footer) ?? footer),
  ]);
}

export interface RawEntry {
  readonly name?: string | Buffer;
  readonly type?: string;
  readonly data?: Buffer;
  /** The 12 bytes of the size field. */
  readonly size?: Buffer;
  readonly prefix?: string;
  readonly badChecksum?: boolean;
}

/** One tar entry with the given header. */
export function rawEntry({
  name = 'a',
  type = '0',
  data = Buffer.alloc(0),
  size,
  prefix,
  badChecksum,
}: RawEntry): Buffer {
  const header = Buffer.alloc(512);
  (typeof name === 'string' ? Buffer.from(name) : name).copy(header, 0, 0, 100);
  header.write('0000644\0', 100);
  (size ?? Buffer.from(`${data.length.toString(8).padStart(11, '0')}\0`)).copy(header, 124);
  header.write('00000000000\0', 136);
  header.write(type, 156, 'latin1');
  header.write('ustar\x0000', 257, 'latin1');
  if (prefix !== undefined) header.write(prefix, 345);
  header.fill(' ', 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0) + (badChecksum ? 1 : 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return Buffer.concat([header, data, Buffer.alloc((512 - (data.length % 512)) % 512)]);
}

/** A gzip-compressed tar of raw entries, with the end blocks of tar. */
export function rawArchive(entries: readonly Buffer[], end = Buffer.alloc(1024)): Buffer {
  return gzipSync(Buffer.concat([...entries, end]));
}

export function paxEntry(records: Record<string, string>): Buffer {
  const text = Object.entries(records)
    .map(([key, value]) => {
      const rest = ` ${key}=${value}\n`;
      let length = Buffer.byteLength(rest);
      while (length !== Buffer.byteLength(rest) + String(length).length) {
        length = Buffer.byteLength(rest) + String(length).length;
      }
      return `${length}${rest}`;
    })
    .join('');
  return rawEntry({ name: 'pax', type: 'x', data: Buffer.from(text) });
}
