import { mediaTypeOf } from '../../archive/format/codec.ts';
import type { Manifest, ManifestDraft } from '../../archive/format/manifest.ts';
import type { EntryPiece, EntryReader } from '../../archive/format/types.ts';
import { wholeEntry } from '../../archive/format/whole-entry.ts';
import { writeArchive } from '../../archive/write/write.ts';
import { deferredKey } from '../../aws/keys.ts';
import { uploadStream } from '../../aws/upload-stream.ts';
import { VERSION } from '../../core/version.ts';
import type { Environment, LegLimits } from '../environment.ts';
import type { RestorePlan } from './plan.ts';

/** Size in bytes of the pieces into which entries of the archive are divided. */
const CHUNK_BYTES = 4 * 1024 ** 2;
/** Prefix of the entries that hold dangling relationships. */
const PREFIX = 'graph/dangling-';

/**
 * Stores the dangling relationships of an archive, rewritten for the destination, in `deferred/<job>.ngbak`: an
 * ordinary archive, whose restore attaches them. A repeated call writes the same again.
 */
export async function writeDeferred(
  { bucket, log }: Environment,
  plan: RestorePlan,
  manifest: Manifest,
  view: EntryReader,
  { signal }: LegLimits,
): Promise<void> {
  const draft: ManifestDraft = {
    backup_id: manifest.backup_id,
    created_at: manifest.created_at,
    ngbak_version: VERSION,
    storage_backends: manifest.storage_backends.graph ? { graph: manifest.storage_backends.graph } : {},
    statistics: {},
    scope: {
      ...manifest.scope,
      type: 'partial',
      stores: ['graph'],
      target: plan.target,
      scopes: { graph: plan.routes?.graph?.scope ?? {} },
    },
    tallies: {},
    tags: ['deferred'],
    note: `Relationships of ${manifest.backup_id} whose other node did not exist when job ${plan.job_id} restored it.`,
  };
  await uploadStream({
    s3: bucket.s3,
    bucket: bucket.name,
    key: deferredKey(plan.job_id),
    chunks: writeArchive(pieces(view), draft, { codec: 'gzip', signal }),
    contentType: mediaTypeOf('gzip'),
    signal,
  });
  log('Dangling relationships were kept.', { key: deferredKey(plan.job_id) });
}

/** The entries, in pieces of known size that end at a line break. */
async function* pieces(view: EntryReader): AsyncGenerator<EntryPiece> {
  let number = 0;
  const piece = (data: Buffer) => wholeEntry(`${PREFIX}${String(++number).padStart(5, '0')}.jsonl`, data);
  for await (const entry of view.entries(PREFIX)) {
    let parts: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of view.open(entry)) {
      const end = bytes + chunk.length >= CHUNK_BYTES ? chunk.lastIndexOf(0x0a) + 1 : 0;
      if (end > 0) {
        yield piece(Buffer.concat([...parts, chunk.subarray(0, end)]));
        parts = [];
        bytes = 0;
      }
      // A copy, because the reader may reuse its buffer.
      parts.push(Buffer.from(chunk.subarray(end)));
      bytes += chunk.length - end;
    }
    if (bytes > 0) yield piece(Buffer.concat(parts));
  }
}
