import { OpenAPIHono } from '@hono/zod-openapi';
import { bodyLimit } from 'hono/body-limit';
import { cors } from 'hono/cors';
import { HTTPException } from 'hono/http-exception';
import { secureHeaders } from 'hono/secure-headers';
import { InvalidInputError } from '../core/errors.ts';
import type { Json } from '../core/json.ts';
import { NotFoundError } from '../core/refusals.ts';
import type { OperationsContext } from '../operations/context.ts';
import { type Authenticator, listKeys, MethodNotAllowedError, requireRole } from './access.ts';
import type { Api } from './api.ts';
import { docsPage } from './docs-page.ts';
import { apiDocument } from './document.ts';
import { mountOperations } from './mount.ts';
import { type Pages, pageRoutes } from './pages.ts';
import { PROBLEM_TYPE, problemOf } from './problem.ts';
import { RateLimit } from './rate-limit.ts';

/** Maximum size of a request body in bytes. Requests are small; archives are uploaded to S3. */
const BODY_BYTES_MAX = 256 * 1024;
/**
 * Rate limit of costly calls (those that start work, delete or verify): a burst, then one call per this many seconds.
 */
const COSTLY = { burst: 20, seconds: 3 };

/** Who changed what, from where. Written for each call that is not a plain read. */
export interface AuditLine {
  readonly who: string;
  readonly role: string;
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly from: string;
  readonly request_id: string;
}

export interface ApiOptions {
  readonly context: OperationsContext;
  readonly authenticator: Authenticator;
  /** The dashboard. If absent, its path does not exist. */
  readonly pages?: Pages;
  /** Origins of web pages that may call the API (CORS). */
  readonly allowedOrigins: readonly string[];
  audit(line: AuditLine): void;
  log(message: string, fields: Record<string, Json>): void;
  /** Source address and id of a request, as reported by the platform. */
  origin(env: unknown): { from: string; requestId: string };
  /** Milliseconds left to respond. */
  timeLeft(env: unknown): number;
}

/** The HTTP API, independent of the server: Lambda, or that of a test. */
export function makeApi(options: ApiOptions): Api {
  const { context, authenticator, allowedOrigins } = options;
  const limit = new RateLimit(COSTLY.burst, COSTLY.seconds);
  const api: Api = new OpenAPIHono({
    defaultHook: (result) => {
      if (result.success) return;
      const issues = result.error.issues
        .slice(0, 10)
        .map(({ path, message }) => `${path.join('.') || 'value'}: ${message}`);
      throw new InvalidInputError(`The request is not valid: ${issues.join('; ')}.`, {
        remedy: 'GET /api/v1/openapi.json describes each request.',
      });
    },
  });
  api.onError((error, c) => {
    const { requestId } = options.origin(c.env);
    const known = error instanceof HTTPException ? explainHttp(error) : error;
    const problem = problemOf(known, requestId);
    if (problem.status >= 500) {
      options.log('A request failed', { problem: problem.detail, error: error.stack ?? String(error) });
    }
    if (problem.status === 401) c.header('WWW-Authenticate', 'Bearer');
    return c.body(JSON.stringify(problem), problem.status as 400, { 'Content-Type': PROBLEM_TYPE });
  });
  api.notFound((c) => {
    const methods = methodsAt(api, c.req.path);
    if (methods.length > 0) {
      c.header('Allow', methods.join(', '));
      throw new MethodNotAllowedError(`${c.req.method} is not allowed for this path.`, {
        remedy: `Use one of: ${methods.join(', ')}.`,
      });
    }
    throw new NotFoundError('There is no such path.', {
      remedy: 'GET /api/v1/openapi.json lists all paths.',
    });
  });
  api.use(secureHeaders());
  if (allowedOrigins.length > 0) {
    api.use(
      cors({
        origin: [...allowedOrigins],
        allowHeaders: ['Authorization', 'Content-Type', 'Idempotency-Key'],
      }),
    );
  }
  api.use(bodyLimit({ maxSize: BODY_BYTES_MAX }));
  if (options.pages) pageRoutes(api, options.pages);
  // Built once, on the first request: both are public, and building them takes as long as many requests.
  const document = once(() => JSON.stringify(apiDocument()));
  const page = once(() => docsPage(apiDocument()));
  api.get('/api/v1/openapi.json', (c) => c.body(document(), 200, { 'Content-Type': 'application/json' }));
  api.get('/api/v1/docs', (c) => c.html(page()));
  api.use('/api/v1/*', async (c, next) => {
    const { from, requestId } = options.origin(c.env);
    c.set('requestId', requestId);
    const caller = await authenticator.authenticate(c.req.header('authorization'));
    c.set('caller', caller);
    c.header('Cache-Control', 'no-store');
    await next();
    if (c.req.method === 'GET' && !c.req.path.endsWith('/download')) return;
    options.audit({
      who: caller.name,
      role: caller.role,
      method: c.req.method,
      path: c.req.path,
      status: c.res.status,
      from,
      request_id: requestId,
    });
  });
  mountOperations(api, {
    context,
    allow(caller, role, rateLimited) {
      requireRole(caller, role);
      if (rateLimited) limit.take(caller.name);
    },
    timeLeft: options.timeLeft,
    accessList: async () => listKeys(await authenticator.accessList()),
  });
  return api;
}

/** The methods of the routes that match this path. `{…}` in a route matches any one segment. */
function methodsAt(api: Api, path: string): string[] {
  const segments = path.split('/');
  return api.openAPIRegistry.definitions.flatMap((definition) => {
    if (definition.type !== 'route') return [];
    const known = definition.route.path.split('/');
    const same =
      known.length === segments.length &&
      known.every((segment, at) =>
        segment.startsWith('{') ? segments[at] !== '' : segment === segments[at],
      );
    return same ? [definition.route.method.toUpperCase()] : [];
  });
}

/** Translates errors of hono itself: a body that is not JSON, or too large. */
function explainHttp(error: HTTPException): Error {
  const large = error.status === 413;
  return new InvalidInputError(large ? 'The body is too large.' : 'The body is not valid JSON.', {
    remedy: large
      ? `Bodies have at most ${BODY_BYTES_MAX} bytes; archives are uploaded to S3.`
      : 'Send one JSON value in UTF-8 with Content-Type: application/json.',
    cause: error,
  });
}

/** A function that computes its value on the first call. */
function once<T>(make: () => T): () => T {
  let cached: { readonly value: T } | undefined;
  return () => {
    cached ??= { value: make() };
    return cached.value;
  };
}
