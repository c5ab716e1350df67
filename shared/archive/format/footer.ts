import { crc32 } from 'node:zlib';
import { damagedArchive, IntegrityError } from '../../core/errors.ts';
import { type Codec, ZSTD_SKIPPABLE_MAGIC } from './codec.ts';

/** Length and CRC-32 of a run of compressed bytes. */
export interface Region {
  readonly length: number;
  readonly crc32: number;
}

/**
 * The end of an archive: four consecutive runs of bytes (the entries `index.jsonl`, `SHA256SUMS`, `manifest.json`,
 * then the two zero blocks that end a tar), described by the footer.
 */
export interface Footer {
  readonly codec: Codec;
  /** Where the first run starts and the data ends, in bytes. */
  readonly offset: number;
  readonly index: Region;
  readonly sums: Region;
  readonly manifest: Region;
  readonly end: Region;
}

const PAYLOAD_BYTES = 64;
/** "NGB" and the format's major version. */
const MAGIC = Buffer.from('NGB1', 'latin1');

/** A gzip member with an extra subfield "NF" of 64 bytes, and no content (RFC 1952; deflate's empty last block). */
const GZIP_BEFORE = Buffer.from('1f8b08040000000000ff44004e464000', 'hex');
const GZIP_AFTER = Buffer.from('03000000000000000000', 'hex');
/** A skippable frame of 64 bytes (RFC 8878, 3.1.2). */
const ZSTD_BEFORE = Buffer.alloc(8);
ZSTD_BEFORE.writeUInt32LE(ZSTD_SKIPPABLE_MAGIC + 0xe, 0);
ZSTD_BEFORE.writeUInt32LE(PAYLOAD_BYTES, 4);

const FRAMES: Record<Codec, { before: Buffer; after: Buffer }> = {
  gzip: { before: GZIP_BEFORE, after: GZIP_AFTER },
  zstd: { before: ZSTD_BEFORE, after: Buffer.alloc(0) },
};

/** Length of a footer in bytes: 90 for gzip, 72 for zstd. */
export const FOOTER_BYTES: Record<Codec, number> = {
  gzip: GZIP_BEFORE.length + PAYLOAD_BYTES + GZIP_AFTER.length,
  zstd: ZSTD_BEFORE.length + PAYLOAD_BYTES,
};

export function encodeFooter(footer: Footer): Buffer {
  const payload = Buffer.alloc(PAYLOAD_BYTES);
  MAGIC.copy(payload);
  payload.writeBigUInt64LE(BigInt(footer.offset), 4);
  let at = 12;
  for (const { length, crc32: crc } of [footer.index, footer.sums, footer.manifest, footer.end]) {
    payload.writeBigUInt64LE(BigInt(length), at);
    payload.writeUInt32LE(crc, at + 8);
    at += 12;
  }
  payload.writeUInt32LE(crc32(payload.subarray(0, at)), at);
  const { before, after } = FRAMES[footer.codec];
  return Buffer.concat([before, payload, after]);
}

/**
 * Reads the footer at the end of an archive of `size` bytes, from the archive's last bytes. Null if there is none, as
 * after another tool repacked the archive. Throws IntegrityError if the footer is damaged.
 */
export function decodeFooter(tail: Buffer, size: number, where: string): Footer | null {
  for (const codec of ['gzip', 'zstd'] as const) {
    const bytes = tail.subarray(-FOOTER_BYTES[codec]);
    const { before, after } = FRAMES[codec];
    const payload = bytes.subarray(before.length, before.length + PAYLOAD_BYTES);
    if (payload.length < PAYLOAD_BYTES || !payload.subarray(0, 3).equals(MAGIC.subarray(0, 3))) continue;
    if (
      !bytes.subarray(0, before.length).equals(before) ||
      !bytes.subarray(before.length + PAYLOAD_BYTES).equals(after)
    ) {
      throw damaged(where, 'its footer has a wrong frame');
    }
    const at = PAYLOAD_BYTES - 4;
    if (crc32(payload.subarray(0, at)) !== payload.readUInt32LE(at)) {
      throw damaged(where, "its footer's CRC-32 is wrong");
    }
    if (payload[3] !== MAGIC[3]) {
      throw new IntegrityError(
        `${where} has format version ${String.fromCharCode(payload[3] ?? 0)}; this ngbak reads version 1.`,
        { remedy: 'Use a newer ngbak.' },
      );
    }
    return placeRegions(payload, codec, size, where);
  }
  return null;
}

function placeRegions(payload: Buffer, codec: Codec, size: number, where: string): Footer {
  const number = (at: number): number => {
    const value = payload.readBigUInt64LE(at);
    if (value > BigInt(size)) throw damaged(where, 'its footer points outside of it');
    return Number(value);
  };
  const region = (at: number): Region => ({ length: number(at), crc32: payload.readUInt32LE(at + 8) });
  const footer: Footer = {
    codec,
    offset: number(4),
    index: region(12),
    sums: region(24),
    manifest: region(36),
    end: region(48),
  };
  const { offset, index, sums, manifest, end } = footer;
  const total = offset + index.length + sums.length + manifest.length + end.length + FOOTER_BYTES[codec];
  if (total !== size) {
    throw damaged(where, `it is ${size} bytes long, but its footer describes ${total} bytes`);
  }
  return footer;
}

function damaged(where: string, what: string): IntegrityError {
  return damagedArchive(`${where} is damaged: ${what}.`);
}
