import { retry } from '../../shared/core/retry.ts';
import { sha256 } from './digest.ts';
import { UploadError } from './errors.ts';
import { cutIntoParts, type FilePart, type RemotePart } from './parts.ts';
import type { PartAddress, SendPart } from './send-part.ts';
import { Speed } from './speed.ts';

/** Concurrent parts. Browsers open six connections to a host: two stay free for other requests. */
const PARTS_AT_ONCE = 4;
/** Memory limit for the parts that are being sent, in bytes; one part is always sent, whatever its size. */
const BYTES_AT_ONCE = 256 * 1024 * 1024;
/** Attempts for one part before the upload pauses and asks the user for help: about a minute of waiting. */
const TRIES = { attempts: 8, firstMs: 500, longestMs: 30_000 };
/** Minimum interval of progress reports, in milliseconds. */
const NOTIFY_MS = 250;

/** The multipart upload of one job in the API. Methods reject with UploadError. */
export interface UploadApi {
  /** Size of each part except the last one, in bytes. */
  readonly partBytes: number;
  /** The uploaded parts. */
  parts(signal: AbortSignal): Promise<readonly RemotePart[]>;
  /** The destination of one part with this SHA-256 (hexadecimal). */
  address(part: FilePart, sha256: string, signal: AbortSignal): Promise<PartAddress>;
  /** Completes the upload, which starts the restore. Idempotent. */
  complete(signal: AbortSignal): Promise<void>;
  /** Deletes the uploaded parts, and ends the job. */
  abort(): Promise<void>;
}

export type UploadPhase =
  | 'checking'
  | 'uploading'
  | 'waiting'
  | 'paused'
  | 'completing'
  | 'completed'
  | 'cancelling'
  | 'cancelled';

/** The progress of an upload. Objects are immutable: each change is a new one. */
export interface UploadState {
  readonly phase: UploadPhase;
  /** Bytes in S3 or in transit; while `checking`, bytes that were compared with the parts in S3. */
  readonly bytesDone: number;
  readonly bytesTotal: number;
  /** Over the last seconds; absent until it is known. */
  readonly bytesPerSecond?: number;
  readonly secondsRemaining?: number;
  /** Why it paused or waits; absent if the user paused it. */
  readonly problem?: { readonly message: string; readonly remedy: string };
}

/** The environment of an upload. */
export interface UploadEnvironment {
  readonly api: UploadApi;
  readonly file: Blob;
  readonly send: SendPart;
  /** Milliseconds of a monotonic clock. */
  readonly now?: () => number;
  /** Waits before another attempt. */
  readonly wait?: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Does the work unless another tab is doing it, and rejects in that case. */
  readonly only?: (work: () => Promise<void>) => Promise<void>;
}

/**
 * Sends a file to S3 in parts: some concurrently, each with its SHA-256, which S3 verifies, and retried with
 * exponential backoff. Resumable at any time, also by another `Upload` of the same job after the page was reloaded: S3
 * itself lists the uploaded parts, and their SHA-256 proves that they belong to this file. Memory use does not depend
 * on the file size.
 */
export class Upload {
  readonly #options: UploadEnvironment;
  readonly #now: () => number;
  readonly #parts: readonly FilePart[];
  readonly #listeners = new Set<() => void>();
  readonly #speed = new Speed();
  /** Bytes of complete parts in S3. */
  #bytesThere = 0;
  /** Bytes in transit, by part. */
  readonly #inFlight = new Map<number, number>();
  #work: AbortController | undefined;
  #run: Promise<void> = Promise.resolve();
  #notifiedAt = 0;
  #state: UploadState;

  constructor(options: UploadEnvironment) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#parts = cutIntoParts(options.file.size, options.api.partBytes);
    this.#state = { phase: 'paused', bytesDone: 0, bytesTotal: options.file.size };
  }

  /** The newest state; the same object until something changes. */
  readonly state = (): UploadState => this.#state;

  /** Calls `listener` after each change; returns a function that unsubscribes. */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Starts, or resumes after a pause: first asks S3 for the uploaded parts. Resolves when it has ended or paused. */
  resume(): Promise<void> {
    if (this.#state.phase !== 'paused') return this.#run;
    const work = new AbortController();
    this.#work = work;
    this.#bytesThere = 0;
    this.#set('checking');
    const only = this.#options.only ?? ((all: () => Promise<void>) => all());
    this.#run = only(() => this.#goOn(work.signal)).catch((error: unknown) => {
      // Pause and cancel have already set the state.
      if (work.signal.aborted) return;
      this.#inFlight.clear();
      this.#set('paused', explain(error));
    });
    return this.#run;
  }

  /** Stops sending. Complete parts stay in S3. */
  async pause(): Promise<void> {
    if (!['checking', 'uploading', 'waiting'].includes(this.#state.phase)) return;
    this.#work?.abort();
    this.#inFlight.clear();
    this.#set('paused');
    await this.#run;
  }

  /** Deletes the uploaded parts and ends the job. Rejects, and stays paused, if that failed. */
  async cancel(): Promise<void> {
    if (['completing', 'completed', 'cancelling', 'cancelled'].includes(this.#state.phase)) return;
    this.#work?.abort();
    this.#inFlight.clear();
    this.#set('cancelling');
    await this.#run;
    try {
      await this.#options.api.abort();
      this.#set('cancelled');
    } catch (error) {
      this.#set('paused', explain(error));
      throw error;
    }
  }

  async #goOn(signal: AbortSignal): Promise<void> {
    const { api } = this.#options;
    const queue = await this.#missing(await this.#persist((s) => api.parts(s), signal), signal);
    this.#speed.reset();
    this.#set('uploading');
    // A sender that gives up stops the others: the upload is paused, and all of it can be resumed.
    const stop = new AbortController();
    const either = AbortSignal.any([signal, stop.signal]);
    const sender = async () => {
      for (let part = queue.shift(); part !== undefined; part = queue.shift()) await this.#send(part, either);
    };
    const senders = Math.max(1, Math.min(PARTS_AT_ONCE, Math.floor(BYTES_AT_ONCE / api.partBytes)));
    await Promise.allSettled(
      Array.from({ length: senders }, () => sender().catch((error: unknown) => stop.abort(error))),
    );
    either.throwIfAborted();
    this.#set('completing');
    await this.#persist((s) => api.complete(s), signal);
    this.#set('completed');
  }

  /** The parts that S3 lacks or has in another size. Throws if S3 has parts of another file. */
  async #missing(there: readonly RemotePart[], signal: AbortSignal): Promise<FilePart[]> {
    const known = new Map(there.map((part) => [part.number, part]));
    const missing: FilePart[] = [];
    for (const part of this.#parts) {
      const uploaded = known.get(part.number);
      if (uploaded?.bytes !== part.bytes) {
        missing.push(part);
        continue;
      }
      if (uploaded.sha256 !== undefined && uploaded.sha256 !== (await sha256(await this.#read(part)))) {
        throw new UploadError('file', 'This is not the file that the upload was started with.', {
          remedy: 'Choose that file, or cancel this upload and start again with this one.',
        });
      }
      signal.throwIfAborted();
      this.#bytesThere += part.bytes;
      this.#notify('checking');
    }
    return missing;
  }

  /** Sends one part, and retries until S3 has it. */
  async #send(part: FilePart, signal: AbortSignal): Promise<void> {
    const { api, send } = this.#options;
    // The hashed bytes are the ones that are sent, even if the file changes in between.
    const data = await this.#read(part);
    const digest = await sha256(data);
    await this.#persist(async (s) => {
      try {
        await send(await api.address(part, digest, s), data, {
          signal: s,
          onProgress: (bytes) => {
            if (s.aborted) return;
            this.#inFlight.set(part.number, Math.min(bytes, part.bytes));
            this.#notify('uploading');
          },
        });
      } catch (error) {
        this.#inFlight.delete(part.number);
        throw error;
      }
    }, signal);
    signal.throwIfAborted();
    this.#inFlight.delete(part.number);
    this.#bytesThere += part.bytes;
    this.#notify('uploading');
  }

  async #read({ offset, bytes }: FilePart): Promise<ArrayBuffer> {
    try {
      return await this.#options.file.slice(offset, offset + bytes).arrayBuffer();
    } catch (cause) {
      throw new UploadError(
        'file',
        'The file can no longer be read. It was changed or moved, or its drive was removed.',
        { cause },
      );
    }
  }

  /** Repeats an operation until it succeeds, or fails permanently. */
  async #persist<T>(work: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T> {
    const { wait } = this.#options;
    return retry(() => work(signal), {
      ...TRIES,
      signal,
      isTransient: (error) => error instanceof UploadError && ['retry', 'address'].includes(error.failure),
      beforeWait: (error) => {
        if (this.#state.phase !== 'uploading' || this.#inFlight.size > 0) return;
        const message = error instanceof Error ? error.message : String(error);
        this.#set('waiting', { message, remedy: 'The upload retries automatically.' });
      },
      ...(wait === undefined ? {} : { wait: (ms) => wait(ms, signal) }),
    });
  }

  #notify(phase: 'checking' | 'uploading'): void {
    const now = this.#now();
    this.#speed.sample(this.#done(), now);
    if (this.#state.phase === phase && now - this.#notifiedAt < NOTIFY_MS) return;
    this.#notifiedAt = now;
    this.#set(phase);
  }

  #done(): number {
    let bytes = this.#bytesThere;
    for (const sent of this.#inFlight.values()) bytes += sent;
    return bytes;
  }

  #set(phase: UploadPhase, problem?: UploadState['problem']): void {
    const bytesDone = this.#done();
    const bytesTotal = this.#options.file.size;
    const rate = phase === 'uploading' ? this.#speed.bytesPerSecond() : undefined;
    this.#state = {
      phase,
      bytesDone,
      bytesTotal,
      ...(rate === undefined
        ? {}
        : { bytesPerSecond: rate, secondsRemaining: Math.ceil((bytesTotal - bytesDone) / rate) }),
      ...(problem === undefined ? {} : { problem }),
    };
    for (const listener of this.#listeners) listener();
  }
}

function explain(error: unknown): { message: string; remedy: string } {
  if (error instanceof UploadError) return { message: error.message, remedy: error.remedy };
  return {
    message: error instanceof Error ? error.message : String(error),
    remedy: 'Resume. If that fails again, report it with the output of the browser’s console.',
  };
}
