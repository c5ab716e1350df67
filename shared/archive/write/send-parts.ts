import {
  copyPart,
  copySource,
  type MultipartUpload,
  sendPart,
  type UploadedPart,
} from '../../aws/multipart.ts';
import { PART_BYTES_MIN, type PlannedPart } from '../../aws/plan-parts.ts';
import { uploadStream } from '../../aws/upload-stream.ts';
import { mapOrdered } from '../../core/ordered.ts';
import { objectSource } from '../read/sources.ts';
import type { Composition } from './composition.ts';
import type { StoredSegment } from './segment-store.ts';

/** Parts sent at once. Copies only cost waiting time. */
const PARTS_AT_ONCE = 8;
/** Joined parts up to this size, in bytes, are held in memory; larger ones are written to a staged object first. */
const JOINED_IN_MEMORY = 16 * 1024 ** 2;
/** Sends the missing parts, while time remains. Returns whether all parts exist. */
export async function sendMissing(
  composition: Composition,
  upload: MultipartUpload,
  plan: readonly PlannedPart[],
  sources: readonly StoredSegment[],
  uploaded: ReadonlyMap<number, UploadedPart>,
  total: number,
): Promise<boolean> {
  const missing = plan.filter(({ number, length }) => uploaded.get(number)?.bytes !== length);
  let done = total - missing.reduce((sum, { length }) => sum + length, 0);
  let started = 0;
  const partsToSend = (function* () {
    for (const part of missing) {
      // At least one in each leg, so that every leg makes progress.
      if (started > 0 && composition.timeLeft() <= 0) return;
      started++;
      yield part;
    }
  })();
  const results = mapOrdered(partsToSend, PARTS_AT_ONCE, async (part) => {
    await sendPlanned(composition, upload, part, sources);
    return part.length;
  });
  for await (const length of results) {
    done += length;
    composition.progress?.(done, total);
  }
  return started === missing.length;
}

async function sendPlanned(
  composition: Composition,
  upload: MultipartUpload,
  part: PlannedPart,
  sources: readonly StoredSegment[],
): Promise<void> {
  const { s3, bucket, work, signal } = composition;
  const [first, ...others] = part.ranges;
  const source = first === undefined ? undefined : sources[first.source];
  if (first === undefined || source === undefined) throw new TypeError('a part without a source');
  // S3 copies ranges only from objects larger than 5 MiB.
  if (others.length === 0 && source.object.bytes > PART_BYTES_MIN) {
    return copyRange(upload, part, source, first.from, signal);
  }
  const chunks = readRanges(composition, part, sources);
  if (part.length > JOINED_IN_MEMORY) {
    const joined = `${work}joined-${String(part.number).padStart(5, '0')}`;
    const { etag = '' } = await uploadStream({ s3, bucket, key: joined, chunks, signal });
    const object = { key: joined, etag, bytes: part.length };
    const staged = { name: joined, bytes: part.length, object, from: 0 };
    return copyRange(upload, part, staged, 0, signal);
  }
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  await sendPart(
    upload,
    { PartNumber: part.number, Body: Buffer.concat(parts), ChecksumAlgorithm: 'CRC32' },
    { signal },
  );
}

/** Copies `part.length` bytes of a segment, from that position in it, out of exactly the object that was listed. */
function copyRange(
  upload: MultipartUpload,
  part: PlannedPart,
  { object, from: start }: StoredSegment,
  position: number,
  signal: AbortSignal,
): Promise<void> {
  const { key, version_id, etag } = object;
  const from = start + position;
  return copyPart(
    upload,
    {
      PartNumber: part.number,
      CopySource: copySource(upload.bucket, key, version_id),
      CopySourceRange: `bytes=${from}-${from + part.length - 1}`,
      CopySourceIfMatch: etag,
    },
    { signal },
  );
}

async function* readRanges(
  { s3, bucket, signal }: Composition,
  part: PlannedPart,
  sources: readonly StoredSegment[],
): AsyncGenerator<Uint8Array> {
  for (const { source: number, from: position, length } of part.ranges) {
    const segment = sources[number];
    if (segment === undefined) throw new TypeError('a part without a source');
    const { key, bytes: size, etag, version_id: versionId } = segment.object;
    const source = objectSource(s3, { bucket, key, versionId, size, etag });
    for await (const chunk of source.read(segment.from + position, length)) {
      signal.throwIfAborted();
      yield chunk;
    }
  }
}
