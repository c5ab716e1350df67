import type { Problem } from '../shared/api/problem.ts';
import { clientOf, requestOf } from '../shared/core/calls.ts';
import { seeAlso } from '../shared/core/help.ts';
import type { OperationsClient } from '../shared/operations/table.ts';

/** Timeout of one call, in milliseconds: API Gateway gives up after 30 seconds. */
const CALL_MS = 40_000;

/** The API of this deployment: the page's own origin, and the same stage of the gateway. */
export const API_URL = new URL('./api/v1/', document.baseURI);

/** The failure of a call, in words for the user, with a remedy. */
export class ApiError extends Error {
  /** HTTP status; 0 without a response. */
  readonly status: number;
  readonly title: string;
  readonly remedy: string;

  constructor(problem: Pick<Problem, 'status' | 'title' | 'detail' | 'remedy'>) {
    super(problem.detail);
    this.name = 'ApiError';
    this.status = problem.status;
    this.title = problem.title;
    this.remedy = problem.remedy;
  }
}

/** A function for each operation of the API; they throw ApiError, or the signal's reason. */
export type ApiClient = OperationsClient;

/**
 * Calls the API of this deployment with one key. The API validates its responses with the schemas of shared/, so here
 * only their types are used.
 *
 * @param refused  called when the key is no longer valid
 */
export function apiClient(key: string, refused: () => void): ApiClient {
  return clientOf<ApiClient>(async (name, args) => {
    const { method, path, body, last } = requestOf(name, args);
    const signal = last instanceof AbortSignal ? [last] : [];
    const answer = await send(new URL(path.slice(1), API_URL), {
      method,
      headers: {
        authorization: `Bearer ${key}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(typeof last === 'string' ? { 'idempotency-key': last } : {}),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      cache: 'no-store',
      // A redirect would send the key to another host.
      redirect: 'error',
      signal: AbortSignal.any([AbortSignal.timeout(CALL_MS), ...signal]),
    });
    if (answer.ok) return answer.json();
    if (answer.status === 401) refused();
    throw await explain(answer);
  });
}

async function send(url: URL, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, init);
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === 'AbortError') throw cause;
    const late = cause instanceof DOMException && cause.name === 'TimeoutError';
    throw new ApiError({
      status: 0,
      title: navigator.onLine ? 'No response' : 'Offline',
      detail: late ? 'The API did not respond in time.' : 'The API could not be reached.',
      remedy: navigator.onLine
        ? 'ngbak retries automatically. If the error persists, check that the stack is still deployed.'
        : 'This computer is offline. The page continues as soon as the network is back.',
    });
  }
}

async function explain(answer: Response): Promise<ApiError> {
  const text = await answer.text();
  try {
    const problem = JSON.parse(text) as Partial<Problem>;
    if (typeof problem.detail === 'string' && typeof problem.remedy === 'string') {
      return new ApiError({
        status: answer.status,
        title: problem.title ?? 'Error',
        detail: problem.detail,
        remedy: problem.help === undefined ? problem.remedy : `${problem.remedy} ${seeAlso(problem.help)}`,
      });
    }
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  // Not from the API but from something in front of it: the gateway, or a proxy.
  return new ApiError({
    status: answer.status,
    title: 'Unexpected response',
    detail: `The API answered ${answer.status} with an unexpected body.`,
    remedy:
      answer.status === 429
        ? 'Too many requests. Wait a moment and try again.'
        : 'Try again. If the error persists, check the logs of the API function.',
  });
}
