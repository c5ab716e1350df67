import { randomUUID } from 'node:crypto';
import type { z } from 'zod';
import { Problem } from '../shared/api/problem.ts';
import { CALLS, type CallName, clientOf, requestOf } from '../shared/core/calls.ts';
import {
  AccessDeniedError,
  IntegrityError,
  InvalidInputError,
  NgbakError,
  UnavailableError,
} from '../shared/core/errors.ts';
import { parseInput } from '../shared/core/input.ts';
import { NotFoundError, RefusedError } from '../shared/core/refusals.ts';
import { retry } from '../shared/core/retry.ts';
import type { Role } from '../shared/core/roles.ts';
import { OPERATIONS } from '../shared/operations/table.ts';
import { ANSWERS, type AnyOperations } from './answers.ts';
import { type CliClient, restoresOf } from './client.ts';

/** Timeout of one call, in milliseconds: API Gateway gives up after 30 seconds. */
const CALL_MS = 40_000;
/** Largest response that is read, in bytes: Lambda's responses have at most 6 MB. */
const ANSWER_BYTES_MAX = 8 * 1024 ** 2;

/** Attempts of a call that may be repeated. */
const TRIES = { attempts: 3, firstMs: 500 };

/** Performs all operations through the HTTP API with a key; archives are transferred between this machine and S3. */
export function apiClient(url: string, key: string | undefined): CliClient {
  if (key === undefined) {
    throw new InvalidInputError('No key for the HTTP API is configured.', {
      remedy:
        'Set NGBAK_API_KEY or "api_key" in the configuration file; or use AWS credentials with --direct.',
    });
  }
  const base = `${url.replace(/\/+$/, '')}/api/v1`;

  /** A call without a response is repeated if it has an idempotency key or only reads. */
  async function call<T>(
    schema: z.ZodType<T>,
    method: string,
    path: string,
    body?: object,
    idempotencyKey?: string,
  ): Promise<T> {
    const repeatable = method === 'GET' || idempotencyKey !== undefined;
    return retry(
      async () => {
        const answer = await send(`${base}${path}`, method, key ?? '', { body, idempotencyKey });
        const text = await readText(answer);
        if (answer.ok) return parseInput(schema, parseAnswer(text, base), `The answer of ${base}`);
        throw explain(answer.status, text, base);
      },
      { ...TRIES, isTransient: (error) => repeatable && error instanceof UnavailableError },
    );
  }
  const operations = clientOf<AnyOperations>((name, args) => {
    const { method, path, body } = requestOf(name, args);
    const key = 'once' in CALLS[name] ? newKey() : undefined;
    const answers: Partial<Record<CallName, z.ZodType>> = ANSWERS;
    return call<unknown>(answers[name] ?? OPERATIONS[name].output, method, path, body, key);
  });

  return {
    ...operations,
    where: base,
    verifyBackup: (id, { cursor, copy }) => operations.verifyBackup(id, { cursor, copy }),
    diffBackups: (id, input) => operations.diffBackups(id, input),
    ...restoresOf(operations),
    uploadLimit: async () => (await operations.deployment()).upload?.max_bytes,
    rebuildCatalog: () => {
      throw new InvalidInputError('Rebuilding the catalog needs AWS credentials: every archive is read.', {
        remedy: 'Add --direct.',
      });
    },
    recover: () => {
      throw new InvalidInputError('Recovering backups needs AWS credentials: archives are copied and read.', {
        remedy: 'Add --direct.',
      });
    },
    async permissions() {
      const { name, role } = await operations.me();
      return `"${name}" is ${role}: ${MAY[role]}`;
    },
    async clockOffsetMs() {
      const { headers } = await send(`${base}/openapi.json`, 'GET', key);
      return Date.parse(headers.get('date') ?? '') - Date.now();
    },
  };
}

/** What each role may do; docs/api.md lists it for each call. */
const MAY: Record<Role, string> = {
  viewer: 'may read everything and change nothing',
  operator: 'may back up, restore and download, but not delete backups',
  admin: 'may do everything',
};

/** One key for each logical request, however often it is sent. */
function newKey(): string {
  return `cli-${randomUUID()}`;
}

async function send(
  url: string,
  method: string,
  key: string,
  { body, idempotencyKey }: { body?: object | undefined; idempotencyKey?: string | undefined } = {},
): Promise<Response> {
  try {
    return await fetch(url, {
      method,
      headers: {
        authorization: `Bearer ${key}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      // A redirect would send the key to another host.
      redirect: 'error',
      signal: AbortSignal.timeout(CALL_MS),
    });
  } catch (cause) {
    throw new UnavailableError(`${new URL(url).origin} did not answer.`, {
      remedy: 'Check the address of the API and the network, and try again.',
      cause,
    });
  }
}

async function readText(answer: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of answer.body ?? []) {
    bytes += chunk.length;
    if (bytes > ANSWER_BYTES_MAX) {
      throw new NgbakError(`The response is larger than ${ANSWER_BYTES_MAX} bytes.`, {
        remedy: 'Check that the address is that of the HTTP API of ngbak.',
      });
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parseAnswer(text: string, base: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new NgbakError(`${base} returned a response that is not JSON.`, {
      remedy: 'Check that the address is that of the HTTP API of ngbak.',
      cause,
    });
  }
}

/** The error described by a problem document, as the class that the exit codes are based on. */
function explain(status: number, text: string, base: string): NgbakError {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    // Not from the API but from something in front of it, such as a proxy.
    parsed = undefined;
  }
  const problem = Problem.safeParse(parsed);
  const message = problem.success ? problem.data.detail : `${base} answered ${status}.`;
  const remedy = problem.success ? problem.data.remedy : 'Check the address of the API, and try again.';
  const advice = { remedy, help: problem.success ? problem.data.help : undefined };
  if (status === 401 || status === 403) return new AccessDeniedError(message, advice);
  if (status === 404) return new NotFoundError(message, advice);
  if (status === 409) return new RefusedError(message, advice);
  if (status === 422) return new IntegrityError(message, advice);
  if (status === 400) return new InvalidInputError(message, advice);
  if (status === 429 || status === 503) return new UnavailableError(message, advice);
  return new NgbakError(message, advice);
}
