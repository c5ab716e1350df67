import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Agent, Dispatcher } from 'undici';
import { InvalidInputError } from '../../core/errors.ts';
import { backoff, retry, sleep } from '../../core/retry.ts';
import type { QdrantConnection } from './connection.ts';
import {
  AnswerTooLargeError,
  answerError,
  connectionError,
  isBusy,
  isCertificateError,
  isConnectionError,
  type QdrantCall,
} from './errors.ts';

/** Delays before retries, in milliseconds, and the number of attempts: long enough for a server to restart. */
const WAITS = { firstMs: 200, factor: 3, longestMs: 5_000 };
const ATTEMPTS = 5;
/** Status from a proxy that limits the size of requests. */
const CONTENT_TOO_LARGE = 413;
/** Time to wait for an answer to `Expect: 100-continue`, in milliseconds. */
const EXPECT_TIMEOUT_MS = 5_000;
/** Status from a proxy that waited too long for the server. */
const GATEWAY_TIMEOUT = 504;
/**
 * Maximum duration in milliseconds of a delay that a rate limit requests, and maximum number of such delays. Rate
 * limits apply per minute.
 */
const RATE_PAUSE_MS_MAX = 60_000;
const RATE_PAUSES_MAX = 5;
/** Timeout for establishing a connection, in milliseconds. */
const CONNECT_TIMEOUT_MS = 10_000;
/** Maximum size of a response held in memory, in bytes. Pages of points are sized to fit. */
export const ANSWER_BYTES_MAX = 64 * 1024 ** 2;

export interface CallOptions {
  /** JSON text. */
  readonly body?: string;
  readonly signal?: AbortSignal;
  /** Inactivity timeout in milliseconds. Default: the limit of the connection. */
  readonly timeoutMs?: number;
  /** False for calls that must not be sent twice. Default: true, because all other calls are idempotent. */
  readonly repeat?: boolean;
  /** False if a 504 response must be reported to the caller without a retry. Default: true. */
  readonly repeatTimeouts?: boolean;
}

/**
 * Client for the REST API of one Qdrant server. The official client handles control calls well, but it parses bulk
 * responses slowly, loses the exact text of numbers, and does not accept a certificate authority, so all calls use this
 * client instead. Idempotent calls are retried after interrupted or stale connections, and while the server is
 * overloaded.
 */
export class QdrantClient {
  readonly #connection: QdrantConnection;
  readonly #target: string;
  readonly #base: string;
  #agent: Agent | undefined;

  constructor(connection: QdrantConnection, target: string) {
    this.#connection = connection;
    this.#target = target;
    this.#base = connection.url.replace(/\/+$/, '');
  }

  /** Sends a request and returns the `result` of the response, with JavaScript numbers. For control calls only. */
  async call(method: Dispatcher.HttpMethod, path: string, options: CallOptions = {}): Promise<unknown> {
    const answer = await this.json(method, path, options);
    if (typeof answer !== 'object' || answer === null || !('result' in answer)) {
      throw this.#notQdrant(method, path);
    }
    return answer.result;
  }

  /** Sends a request and returns the whole response, parsed. Throws InvalidInputError if it is not JSON. */
  async json(method: Dispatcher.HttpMethod, path: string, options: CallOptions = {}): Promise<unknown> {
    const text = await this.text(method, path, options);
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw this.#notQdrant(method, path, cause);
    }
  }

  /** Sends a request and returns the text of the response. Throws AnswerTooLargeError, and the errors in errors.ts. */
  async text(method: Dispatcher.HttpMethod, path: string, options: CallOptions = {}): Promise<string> {
    return (await this.answer(method, path, options)).toString('utf8');
  }

  /** Like {@link text}, but returns the raw bytes. */
  async answer(method: Dispatcher.HttpMethod, path: string, options: CallOptions = {}): Promise<Buffer> {
    const call = this.#describe(method, path);
    return this.#repeated(call, options, async () => {
      const { body } = await this.#send(method, path, options, options.body);
      return readAll(body, call);
    });
  }

  /**
   * Streams `length` bytes of a file from `offset`, with range requests. Resumes after an interrupted connection, so
   * that every byte is delivered exactly once. If the server ignores ranges (snapshots in object storage, some
   * proxies), the file is read from its beginning and the bytes before `offset` are skipped; meanwhile `skipping` is
   * called, which may throw. Throws if the server has fewer bytes.
   */
  async *bytes(
    path: string,
    offset: number,
    length: number,
    { signal, skipping }: { signal?: AbortSignal; skipping?: () => void } = {},
  ): AsyncGenerator<Uint8Array> {
    const call = this.#describe('GET', path);
    let at = offset;
    const end = offset + length;
    let failures = 0;
    while (at < end) {
      try {
        const { statusCode, body } = await this.#send(
          'GET',
          path,
          signal === undefined ? {} : { signal },
          undefined,
          {
            range: `bytes=${at}-${end - 1}`,
          },
        );
        if (statusCode !== 206 && statusCode !== 200) {
          body.destroy();
          throw answerError(call, statusCode, 'this is not a file');
        }
        // A 200 response contains the file from its beginning, not from the requested offset.
        let before = statusCode === 206 ? 0 : at;
        for await (const sent of body as AsyncIterable<Buffer>) {
          if (before > 0) skipping?.();
          const chunk = sent.subarray(before);
          before -= sent.length - chunk.length;
          if (chunk.length === 0) continue;
          at += chunk.length;
          if (at > end) throw answerError(call, statusCode, 'more bytes than requested');
          failures = 0;
          yield chunk;
        }
        if (at < end) throw Object.assign(new Error('The response ended early.'), { code: 'UND_ERR_SOCKET' });
      } catch (error) {
        if (signal?.aborted || !isConnectionError(error)) throw error;
        if (++failures === ATTEMPTS) throw connectionError(call, error);
        await sleep(backoff(failures, WAITS), signal);
      }
    }
  }

  /** Streams a file of known size as `multipart/form-data`. `open` is called again for each retry. */
  async upload(
    path: string,
    file: { name: string; size: number; open: () => AsyncIterable<Uint8Array> },
    options: { timeoutMs: number; signal: AbortSignal },
  ): Promise<void> {
    const call = this.#describe('POST', path);
    const boundary = `ngbak-${crypto.randomUUID()}`;
    const head = Buffer.from(
      `--${boundary}\r\ncontent-disposition: form-data; name="snapshot"; filename="${encodeURIComponent(file.name)}"\r\ncontent-type: application/octet-stream\r\n\r\n`,
    );
    const tail = Buffer.from(`\r\n--${boundary}--\r\n`);
    async function* parts() {
      yield head;
      yield* file.open();
      yield tail;
    }
    // A 504 from a proxy does not mean that the server failed: it may still be loading the file. The caller handles
    // this.
    await this.#repeated(call, { ...options, repeatTimeouts: false }, async () => {
      const { body } = await this.#send('POST', path, options, parts(), {
        'content-type': `multipart/form-data; boundary=${boundary}`,
        'content-length': String(head.length + file.size + tail.length),
      });
      await readAll(body, call);
    });
  }

  /**
   * Whether a request body of this size would be accepted. Sends `Expect: 100-continue` without a body: a proxy that
   * limits bodies rejects the announced length at once. Also true if nothing answers the question.
   */
  acceptsBody(path: string, size: number, signal: AbortSignal): Promise<boolean> {
    const { api_key, ca } = this.#connection;
    const url = new URL(`${this.#base}${path}`);
    const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
    return new Promise((resolve) => {
      const question = send(url, {
        method: 'POST',
        agent: false,
        signal: AbortSignal.any([signal, AbortSignal.timeout(EXPECT_TIMEOUT_MS)]),
        ...(ca === undefined ? {} : { ca }),
        headers: {
          expect: '100-continue',
          'content-type': 'multipart/form-data; boundary=ngbak',
          'content-length': String(size),
          ...(api_key === undefined ? {} : { 'api-key': api_key }),
        },
      });
      const answer = (accepted: boolean) => {
        resolve(accepted);
        question.destroy();
      };
      question.on('continue', () => answer(true));
      question.on('response', ({ statusCode }) => answer(statusCode !== CONTENT_TOO_LARGE));
      question.on('error', () => resolve(true));
      question.flushHeaders();
    });
  }

  async close(): Promise<void> {
    await this.#agent?.destroy();
  }

  /** A server that limits rates rejects a request before anything is done, so every call can be retried. */
  #repeated<T>(call: QdrantCall, options: CallOptions, send: () => Promise<T>): Promise<T> {
    let requestedMs = 0;
    return retry(() => this.#repeatedAfterFailures(call, options, send), {
      attempts: RATE_PAUSES_MAX + 1,
      firstMs: 0,
      signal: options.signal,
      isTransient: (error) => retryAfterOf(error) !== undefined,
      beforeWait: (error) => {
        requestedMs = retryAfterOf(error) ?? 0;
      },
      wait: (_, signal) => sleep(requestedMs, signal),
    });
  }

  async #repeatedAfterFailures<T>(
    call: QdrantCall,
    { signal, repeat = true, repeatTimeouts = true }: CallOptions,
    send: () => Promise<T>,
  ): Promise<T> {
    const isTransient = (error: unknown) => {
      if (isConnectionError(error)) return true;
      const status = busyStatusOf(error);
      return status !== undefined && (repeatTimeouts || status !== GATEWAY_TIMEOUT);
    };
    try {
      return await retry(send, { ...WAITS, attempts: repeat ? ATTEMPTS : 1, signal, isTransient });
    } catch (error) {
      const isLost = isConnectionError(error) || isCertificateError(error);
      throw isLost && !signal?.aborted ? connectionError(call, error) : error;
    }
  }

  async #send(
    method: Dispatcher.HttpMethod,
    path: string,
    options: CallOptions,
    body: string | AsyncIterable<Uint8Array> | undefined,
    headers: Record<string, string> = {},
  ): Promise<Dispatcher.ResponseData> {
    const timeout = options.timeoutMs ?? this.#connection.timeout_seconds * 1000;
    // Loaded with the first request: most steps of a workflow do not need it. A bundle has only the default export.
    const { Agent, request } = (await import('undici')).default;
    const { ca } = this.#connection;
    this.#agent ??= new Agent({
      connect: { timeout: CONNECT_TIMEOUT_MS, ...(ca === undefined ? {} : { ca }) },
      connections: 8,
    });
    const answer = await request(`${this.#base}${path}`, {
      method,
      dispatcher: this.#agent,
      headersTimeout: timeout,
      bodyTimeout: timeout,
      headers: {
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(this.#connection.api_key === undefined ? {} : { 'api-key': this.#connection.api_key }),
        ...headers,
      },
      // undici's types do not allow async iterables for the body, although undici accepts them (as does fetch's
      // BodyInit).
      ...(body === undefined ? {} : { body: body as string }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    if (answer.statusCode >= 200 && answer.statusCode < 300) return answer;
    const call = this.#describe(method, path);
    const message = this.#withoutKey(messageOf((await readAll(answer.body, call)).toString('utf8')));
    const error = answerError(call, answer.statusCode, message);
    const seconds = Number(answer.headers['retry-after']);
    if (answer.statusCode === 429 && seconds > 0) {
      throw Object.assign(error, { retryAfterMs: Math.min(seconds * 1000, RATE_PAUSE_MS_MAX) });
    }
    // A request larger than the allowance of a whole minute can never pass the rate limit.
    const busy = isBusy(answer.statusCode) && error.retryable;
    throw busy ? Object.assign(error, { busy: answer.statusCode }) : error;
  }

  #describe(method: string, path: string): QdrantCall {
    return { what: `${method} ${path.replace(/\?.*/, '')}`, server: this.#base, target: this.#target };
  }

  /** Removes the API key, because proxies in front of a server may repeat request headers in their error pages. */
  #withoutKey(text: string): string {
    const { api_key } = this.#connection;
    return api_key === undefined ? text : text.replaceAll(api_key, '***');
  }

  #notQdrant(method: string, path: string, cause?: unknown): InvalidInputError {
    return new InvalidInputError(
      `The server at ${this.#base} for target "${this.#target}" is not a Qdrant server (${method} ${path}).`,
      { remedy: 'Correct "url" in the secret: the address of the REST interface.', cause },
    );
  }
}

/** The status of a server that is busy, if it requests no delay. */
function busyStatusOf(error: unknown): unknown {
  return error instanceof Error && 'busy' in error ? error.busy : undefined;
}

/** The delay that a rate-limiting server requests, in milliseconds. */
function retryAfterOf(error: unknown): number | undefined {
  const wait = error instanceof Error && 'retryAfterMs' in error ? error.retryAfterMs : undefined;
  return typeof wait === 'number' ? wait : undefined;
}

async function readAll(body: Dispatcher.ResponseData['body'], call: QdrantCall): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    size += chunk.length;
    // Leaving the loop destroys the body, and with it the connection.
    if (size > ANSWER_BYTES_MAX) {
      throw new AnswerTooLargeError(
        `The response of Qdrant of target "${call.target}" to ${call.what} is larger than ${ANSWER_BYTES_MAX} bytes.`,
        { remedy: 'Check whether a single point is that large; such points can only be saved by snapshot.' },
      );
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}

/** The server's own error message: `status.error` of its JSON, or the text. */
function messageOf(text: string): string {
  try {
    const parsed: unknown = JSON.parse(text);
    const status = (parsed as { status?: { error?: unknown } } | null)?.status?.error;
    return typeof status === 'string' ? status : text;
  } catch (error) {
    if (error instanceof SyntaxError) return text;
    throw error;
  }
}
