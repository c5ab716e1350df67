/**
 * Runs as a separate process: streams a number of MiB through a segment into S3 and reads them back, and prints the
 * peak of its resident memory in MiB at a quarter and at the end of the upload, and at the end of the read.
 */
import { randomBytes } from 'node:crypto';
import { S3Client } from '@aws-sdk/client-s3';
import type { EntryPiece } from '../../shared/archive/format/types.ts';
import { s3Source } from '../../shared/archive/read/sources.ts';
import { verifyArchive } from '../../shared/archive/read/verify.ts';
import { composeArchive } from '../../shared/archive/write/compose.ts';
import type { SegmentCarry } from '../../shared/archive/write/segment.ts';
import { uploadSegment } from '../../shared/archive/write/segment-store.ts';
import { DRAFT } from './build.ts';

const [bucket = '', mebibytes = '1024'] = process.argv.slice(2);
const s3 = new S3Client({ forcePathStyle: true });
const signal = new AbortController().signal;
const peak = () => Math.round(process.resourceUsage().maxRSS / 1024);
const peaks: Record<string, number> = {};

const size = Number(mebibytes) * 1024 ** 2;
const SEGMENT = size / 8;
const PIECE = SEGMENT / 4;
// Half random, half text: stored and deflated members.
const block = Buffer.concat([randomBytes(512 * 1024), Buffer.alloc(512 * 1024, '{"id":"entity","n":1}\n')]);
async function* pieces(from: number, to: number): AsyncGenerator<EntryPiece> {
  for (let offset = from; offset < to; offset += PIECE) {
    const length = Math.min(PIECE, to - offset);
    const data = (function* () {
      for (let at = 0; at < length; at += block.length) yield block;
    })();
    yield { name: 'vectors/large.snapshot', size, offset, length, data };
  }
}
// Segments small enough to be copied whole: for a range, versitygw 1.8.0 returns the CRC-32 of the whole source.
let carry: SegmentCarry | null = null;
for (let offset = 0; offset < size; offset += SEGMENT) {
  ({ carry } = await uploadSegment({
    s3,
    bucket,
    prefix: 'staging/big/segments/',
    name: `0000-vectors-${String(offset / SEGMENT).padStart(6, '0')}`,
    pieces: pieces(offset, offset + SEGMENT),
    carry,
    codec: 'gzip',
    tallies: () => ({}),
  }));
  if (offset + SEGMENT <= size / 4) peaks.quarter = peak();
}
peaks.uploaded = peak();
const { archive } = await composeArchive({
  s3,
  bucket,
  segments: 'staging/big/segments/',
  work: 'staging/big/compose/',
  key: 'backups/big.ngbak',
  owner: 'big',
  codec: 'gzip',
  manifest: DRAFT,
  cursor: null,
  timeLeft: () => 600_000,
  signal,
});
const source = await s3Source(s3, bucket, 'backups/big.ngbak');
const { problems } = await verifyArchive(source, { cursor: null, timeLeft: () => 600_000 });
peaks.verified = peak();
process.stdout.write(`${JSON.stringify({ peaks, problems, size: archive?.size })}\n`);
s3.destroy();
