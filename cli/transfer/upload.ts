import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { ByteSource } from '../../shared/archive/format/types.ts';
import { explainAwsError } from '../../shared/aws/aws-error.ts';
import { InvalidInputError, NgbakError, UnavailableError } from '../../shared/core/errors.ts';
import { mapOrdered } from '../../shared/core/ordered.ts';
import { retry } from '../../shared/core/retry.ts';
import type { PresignedParts } from '../../shared/operations/upload.ts';
import {
  partLength,
  type ReceivedPart,
  type UploadLayout,
} from '../../shared/workflows/restore/upload-parts.ts';
import type { CliClient } from '../client.ts';

/** Concurrent parts. Each is read from the file as it is sent: memory holds a few MiB. */
const CONNECTIONS = 4;
/** Attempts for each part, and for each call. */
const TRIES = { attempts: 6, firstMs: 300 };
/** Longest time of a part without a byte sent or a response, in milliseconds. */
const STALL_MS = 60_000;
/**
 * Largest chunk that is read from the file, in bytes. Each chunk renews the timeout: above 5 kB/s, no connection is considered
 * stalled.
 */
const READ_BYTES = 256 * 1024;

export interface UploadOptions {
  readonly client: Pick<CliClient, 'presignParts' | 'completeUpload'>;
  readonly jobId: string;
  readonly layout: UploadLayout;
  /** The parts in S3 of an interrupted upload. */
  readonly there: readonly ReceivedPart[];
  /** The archive: a file, or what a file decrypts to. */
  readonly source: ByteSource;
  readonly signal: AbortSignal;
  progress(done: number, total: number): void;
}

/**
 * Uploads a file in parts, four at once, each to an address that accepts only its exact bytes, and completes the
 * upload, which starts the restore. Parts that S3 already has with the digest of the file are not sent again. Returns
 * the number of bytes of those. Failures are retried for about 20 seconds; uploaded parts stay in S3 for another call.
 * Throws InvalidInputError if the file is not the one that was announced.
 */
export async function uploadFile(options: UploadOptions): Promise<{ resumed: number }> {
  const { layout, source, signal, client, jobId } = options;
  if (source.size !== layout.bytes) throw changed(source.name);
  const sums = new Map<number, string>();
  let done = 0;
  for (const part of options.there) {
    if (part.sha256 === undefined) continue;
    const sum = await digest(source, layout, part.number, signal);
    sums.set(part.number, sum);
    if (sum === part.sha256) done += part.bytes;
    else sums.delete(part.number);
  }
  const resumed = done;
  options.progress(done, layout.bytes);
  const missing = Array.from({ length: layout.part_count }, (_, index) => index + 1).filter(
    (number) => !sums.has(number),
  );
  const advance = (bytes: number) => {
    done += bytes;
    options.progress(done, layout.bytes);
  };
  const sent = mapOrdered(missing, CONNECTIONS, async (number) => {
    signal.throwIfAborted();
    const sha256 = await digest(source, layout, number, signal);
    await persist(signal, async () => {
      const { parts } = await client.presignParts(jobId, { parts: [{ number, sha256 }] });
      await putPart(options, onlyOne(parts), advance);
    });
  });
  for await (const _ of sent);
  await persist(signal, () => client.completeUpload(jobId));
  return { resumed };
}

/** The bytes of one part. */
async function* readPart(
  source: ByteSource,
  layout: UploadLayout,
  number: number,
): AsyncGenerator<Uint8Array> {
  let position = (number - 1) * layout.part_bytes;
  const end = position + partLength(layout, number);
  while (position < end) {
    const length = Math.min(READ_BYTES, end - position);
    yield* source.read(position, length);
    position += length;
  }
}

async function digest(
  source: ByteSource,
  layout: UploadLayout,
  number: number,
  signal: AbortSignal,
): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of readPart(source, layout, number)) {
    signal.throwIfAborted();
    hash.update(chunk);
  }
  return hash.digest('hex');
}

/** Sends one part. Progress reported to `advance` is withdrawn if it fails. */
async function putPart(
  { source, layout, signal }: UploadOptions,
  part: PresignedParts['parts'][number],
  advance: (bytes: number) => void,
): Promise<void> {
  const stalled = new AbortController();
  const timer = setTimeout(() => stalled.abort(), STALL_MS);
  let reported = 0;
  async function* counted() {
    for await (const chunk of readPart(source, layout, part.number)) {
      yield chunk;
      timer.refresh();
      reported += chunk.length;
      advance(chunk.length);
    }
  }
  try {
    const answer = await fetch(part.url, {
      method: 'PUT',
      headers: { ...part.headers, 'content-length': String(part.bytes) },
      body: Readable.toWeb(Readable.from(counted())) as ReadableStream<Uint8Array>,
      duplex: 'half',
      signal: AbortSignal.any([signal, stalled.signal]),
    } as RequestInit);
    const text = (await answer.text()).slice(0, 2000);
    if (!answer.ok) throw refused(source.name, part.number, answer.status, text);
  } catch (error) {
    advance(-reported);
    if (signal.aborted || error instanceof NgbakError) throw error;
    // Without the address: a presigned URL is a credential.
    throw new UnavailableError(`The upload of part ${part.number} of ${source.name} was interrupted.`, {
      remedy: 'Run the same command again: it resumes where it stopped.',
      cause: error instanceof Error ? new Error(error.name) : undefined,
    });
  } finally {
    clearTimeout(timer);
  }
}

function refused(path: string, number: number, status: number, body: string): NgbakError {
  const code = /<Code>(\w{1,64})<\/Code>/.exec(body)?.[1] ?? '';
  const message = `S3 answered ${status} ${code} to part ${number} of ${path}.`;
  // S3 received other bytes than were read: corrupted in transit, or the file is changing.
  const corrupted = code === 'BadDigest' || code === 'XAmzContentChecksumMismatch';
  // 403: the address has expired, so another one is requested. Other refusals would repeat.
  if (status === 403 || status === 408 || status === 429 || status >= 500 || corrupted) {
    return new UnavailableError(message, {
      remedy: `Run the same command again: it resumes where it stopped.${corrupted ? ' The file must not change during the upload.' : ''}`,
    });
  }
  return new NgbakError(message, { remedy: 'Cancel the job and start the restore again.' });
}

function changed(path: string): InvalidInputError {
  return new InvalidInputError(`${path} has changed since its upload was requested.`, {
    remedy: 'Cancel the job and start the restore again.',
  });
}

/** Retries with exponential backoff while a service does not respond. */
function persist<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  const explained = () =>
    work().catch((error: unknown) => {
      throw explainAwsError(error);
    });
  return retry(explained, {
    ...TRIES,
    signal,
    isTransient: (error) => error instanceof UnavailableError,
  });
}

function onlyOne(parts: PresignedParts['parts']): PresignedParts['parts'][number] {
  const [part] = parts;
  if (part && parts.length === 1) return part;
  throw new NgbakError(`${parts.length} URLs were returned for one part.`, {
    remedy: 'Check that ngbak and the deployment have the same version.',
  });
}
