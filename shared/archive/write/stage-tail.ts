import { z } from 'zod';
import { addressOf } from '../../aws/address.ts';
import { readS3Text, writeS3Json } from '../../aws/send-s3.ts';
import { uploadStream } from '../../aws/upload-stream.ts';
import { combineCrc32 } from '../../core/crc32.ts';
import { IntegrityError } from '../../core/errors.ts';
import { parseJson } from '../../core/input.ts';
import type { IndexLine } from '../format/lines.ts';
import { Manifest } from '../format/manifest.ts';
import { quoteName } from '../format/names.ts';
import type { Composition } from './composition.ts';
import type { SegmentRecord } from './segment.ts';
import { listSegmentRecords } from './segment-store.ts';
import { encodeTail } from './tail.ts';

/** Entries whose records are kept between the passes over them; if there are more, the records are read again. */
const LINES_KEPT = 50_000;
/** Results of the first leg: `<work>tail.json`. */
const TailRecord = z.object({
  /** Size and CRC-32 of the whole archive. */
  bytes: z.int().positive(),
  crc32: z.int().nonnegative(),
  manifest: Manifest,
});
export type TailRecord = z.infer<typeof TailRecord>;

export const tailKey = ({ work }: Composition) => `${work}tail.seg`;
const tailRecordKey = ({ work }: Composition) => `${work}tail.json`;

/** Writes the end of the archive (index, sums, manifest, footer) below `work`, and a record of the whole archive. */
export async function stageTail(composition: Composition): Promise<void> {
  const { s3, bucket, codec, manifest, signal } = composition;
  let bytes = 0;
  let crc = 0;
  const records = replayable(
    () => listSegmentRecords(s3, bucket, composition.segments),
    ({ entries }) => 1 + entries.length,
  );
  for await (const record of records()) {
    if (record.codec !== codec) {
      throw new IntegrityError(`Segment ${record.name} is compressed with ${record.codec}, not ${codec}.`, {
        remedy: 'Start the backup again.',
      });
    }
    bytes += record.bytes;
    crc = combineCrc32(crc, record.crc32, record.bytes);
  }
  let finished: Manifest | undefined;
  const entries = () => indexLines(records());
  const chunks = (async function* () {
    finished = yield* encodeTail({ codec, entries, offset: bytes, manifest });
  })();
  const tail = await uploadStream({ s3, bucket, key: tailKey(composition), chunks, signal });
  if (finished === undefined) throw new TypeError('the tail ended without a manifest');
  const record: TailRecord = {
    bytes: bytes + tail.bytes,
    crc32: combineCrc32(crc, tail.crc32, tail.bytes),
    manifest: finished,
  };
  await writeS3Json(s3, { Bucket: bucket, Key: tailRecordKey(composition) }, record, { signal });
}

export async function readTailRecord(composition: Composition): Promise<TailRecord> {
  const { s3, bucket, signal } = composition;
  const Key = tailRecordKey(composition);
  const where = addressOf(s3, bucket, Key);
  const { text } = await readS3Text(s3, { Bucket: bucket, Key }, { signal });
  return parseJson(TailRecord, text, where, 'Start the backup again.');
}

/**
 * The archive's index, from the segments' records. Throws IntegrityError if a segment does not continue the previous
 * one.
 */
async function* indexLines(records: AsyncIterable<SegmentRecord>): AsyncGenerator<IndexLine> {
  let base = 0;
  // Where the next entry starts, or the current one started: entries are contiguous.
  let position = 0;
  let open: { name: string; written: number } | null = null;
  const mismatch = (name: string, wanted: string) =>
    new IntegrityError(
      `Segment ${name} does not continue with ${wanted}: a segment before it is missing or was replaced.`,
      { remedy: 'Start the backup again.' },
    );
  for await (const { name, bytes, continues, entries, open: unfinished } of records) {
    if (continues?.name !== open?.name || continues?.written !== open?.written) {
      throw mismatch(name, open === null ? 'a new entry' : `${quoteName(open.name)} at byte ${open.written}`);
    }
    for (const [number, entry] of entries.entries()) {
      const continued = number === 0 && continues !== null;
      if (!continued && base + entry.offset !== position) throw mismatch(name, quoteName(entry.name));
      yield { ...entry, offset: position };
      position += entry.length;
    }
    base += bytes;
    if (position + (unfinished?.length ?? 0) !== base) throw mismatch(name, 'the bytes stated in its record');
    open = unfinished === null ? null : { name: unfinished.name, written: unfinished.written };
  }
  if (open !== null) {
    throw new IntegrityError(
      `The last segment ends within ${quoteName(open.name)}, after ${open.written} bytes.`,
      { remedy: 'Start the backup again.' },
    );
  }
}

/** A stream that can be replayed: from memory if it is small, otherwise from its origin. */
function replayable<T>(origin: () => AsyncIterable<T>, weigh: (item: T) => number): () => AsyncIterable<T> {
  let kept: T[] | undefined;
  return async function* () {
    if (kept) {
      yield* kept;
      return;
    }
    const seen: T[] = [];
    let weight = 0;
    for await (const item of origin()) {
      weight += weigh(item);
      if (weight <= LINES_KEPT) seen.push(item);
      else seen.length = 0;
      yield item;
    }
    if (weight <= LINES_KEPT) kept = seen;
  };
}
