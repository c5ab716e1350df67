import type { S3Client } from '@aws-sdk/client-s3';
import { combineCrc32 } from '../../core/crc32.ts';
import type { Tallies } from '../../core/digest.ts';
import { IntegrityError } from '../../core/errors.ts';
import { LIMITS } from '../../core/limits.ts';
import type { IndexLine } from '../format/lines.ts';
import type { ByteSource } from '../format/types.ts';
import { type OpenedArchive, readIndex } from '../read/open.ts';
import type { SegmentRecord } from './segment.ts';
import { putCarriedSegment, type SourceObject } from './segment-store.ts';

/** Most entries of one carried segment, because its record lists them. */
const ENTRIES_MAX = 5_000;

/** Whether an entry is to be carried, by its name. */
export type BelongsTo = (name: string) => boolean;

/** A range of an archive that holds all entries that are to be carried, and no others. */
export interface Region {
  /** In bytes from the start of the archive. */
  readonly offset: number;
  readonly length: number;
  readonly entries: number;
}

/**
 * The range of the entries that belong together. Undefined if there are none, or if they do not follow one another.
 * Reads the whole index, and throws IntegrityError if it is damaged.
 */
export async function findRegion(
  source: ByteSource,
  { footer, manifest }: Pick<OpenedArchive, 'footer' | 'manifest'>,
  belongs: BelongsTo,
): Promise<Region | undefined> {
  let region: Region | undefined;
  let isScattered = false;
  for await (const { name, offset, length } of readIndex(source, footer, manifest, LIMITS)) {
    if (!belongs(name)) continue;
    if (region === undefined) region = { offset, length, entries: 1 };
    else if (region.offset + region.length !== offset) isScattered = true;
    else region = { ...region, length: region.length + length, entries: region.entries + 1 };
  }
  return isScattered ? undefined : region;
}

/** An archive, parts of which are carried into another one, and the place for them. */
export interface Carrying {
  readonly s3: S3Client;
  readonly bucket: string;
  /** Prefix of the new archive's segments, ending with `/`. */
  readonly segments: string;
  /** Start of the names of the carried segments. */
  readonly name: string;
  readonly source: ByteSource;
  readonly archive: Pick<OpenedArchive, 'footer' | 'manifest' | 'codec'>;
  readonly object: SourceObject;
  readonly signal: AbortSignal;
}

/**
 * Puts the entries of a region of an earlier archive among the segments of a new one. Nothing is copied yet: the
 * composition copies their bytes within S3, and S3 compares the CRC-32 of the new archive, which includes those of the
 * index of the earlier one. A repeated call has the same result. Throws IntegrityError unless exactly this region holds
 * them.
 */
export async function carryEntries(carrying: Carrying, belongs: BelongsTo, expected: Region): Promise<void> {
  const { source, archive } = carrying;
  let lines: IndexLine[] = [];
  let number = 0;
  let position = expected.offset;
  let entries = 0;
  const put = async () => {
    if (lines.length > 0) await putLines(carrying, number++, lines);
    lines = [];
  };
  for await (const line of readIndex(source, archive.footer, archive.manifest, LIMITS)) {
    if (!belongs(line.name)) continue;
    if (line.offset !== position) throw moved(source.name, line.name);
    position += line.length;
    entries++;
    lines.push(line);
    if (lines.length >= ENTRIES_MAX) await put();
  }
  if (entries !== expected.entries || position !== expected.offset + expected.length) {
    throw moved(source.name, 'the entries of its store');
  }
  await put();
}

function moved(where: string, name: string): IntegrityError {
  return new IntegrityError(`${where} does not have ${name} where the plan of this backup states it.`, {
    remedy: 'Start the backup again, and report this as a bug in ngbak if it happens again.',
  });
}

async function putLines(carrying: Carrying, number: number, lines: readonly IndexLine[]): Promise<void> {
  const { s3, bucket, segments: prefix, name, archive, object, signal } = carrying;
  const from = lines[0]?.offset ?? 0;
  const entries = lines.map(({ offset, ...line }) => ({ ...line, offset: offset - from }));
  const record: SegmentRecord = {
    record_version: 1,
    name: `${name}-${String(number).padStart(6, '0')}`,
    codec: archive.codec,
    bytes: lines.reduce((sum, { length }) => sum + length, 0),
    crc32: lines.reduce((crc, { crc32, length }) => combineCrc32(crc, crc32, length), 0),
    content_bytes: lines.reduce((sum, { size }) => sum + size, 0),
    continues: null,
    entries,
    open: null,
    // Those of the whole store are in the plan.
    tallies: {} satisfies Record<string, Tallies>,
  };
  await putCarriedSegment({ s3, bucket, prefix, signal }, object, from, record);
}
