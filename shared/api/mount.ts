import { createRoute, type RouteConfig, z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { CALLS, type CallName, type CallShape } from '../core/calls.ts';
import type { Role } from '../core/roles.ts';
import type { OperationsContext } from '../operations/context.ts';
import type { KeyList, Operation } from '../operations/operation.ts';
import { IdempotencyKey } from '../operations/start.ts';
import { OPERATIONS } from '../operations/table.ts';
import type { Api, ApiVariables, Caller } from './api.ts';
import { PROBLEM_TYPE, Problem } from './problem.ts';

const PREFIX = '/api/v1';

/** The response of failed calls, which every route has. */
const problem = (description: string) => ({
  description,
  content: { [PROBLEM_TYPE]: { schema: Problem } },
});
const PROBLEMS = {
  400: problem('The request is not valid.'),
  401: problem('Missing or invalid API key.'),
  403: problem('The role of the key does not permit this.'),
  404: problem('Not found.'),
  409: problem('The current state does not allow it.'),
  422: problem('Integrity check failed.'),
  429: problem('Too many requests of this kind.'),
  500: problem('Internal error.'),
  503: problem('AWS did not respond.'),
} as const;

/** Functions that the server provides to its routes. */
export interface RouteTools {
  readonly context: OperationsContext;
  /** Throws ForbiddenError unless the caller has the role. With `rateLimited`, counts the call against the limit. */
  allow(caller: Caller, role: Role, rateLimited?: boolean): void;
  timeLeft(env: unknown): number;
  accessList(): Promise<KeyList>;
}

/** Any operation of the table. Its input is validated with its own schema before it runs. */
type AnyOperation = Operation<z.ZodType, z.ZodType>;

/** Adds a route for each operation of the table. */
export function mountOperations(api: Api, tools: RouteTools): void {
  for (const name of Object.keys(OPERATIONS) as CallName[]) {
    mount(api, tools, name, OPERATIONS[name] as unknown as AnyOperation);
  }
}

function mount(api: Api, tools: RouteTools, name: CallName, operation: AnyOperation): void {
  const call: CallShape = CALLS[name];
  const handler = async (c: Context<{ Variables: ApiVariables }>) => {
    const caller = c.get('caller');
    const valid = (from: 'json' | 'param' | 'query') => c.req.valid(from as never);
    const given: unknown = call.input === 'query' ? valid('query') : call.input && valid('json');
    // An omitted body is equivalent to its defaults.
    const input = operation.bodyOptional && given === undefined ? operation.input?.parse({}) : given;
    if (call.role) tools.allow(caller, call.role, operation.rateLimited);
    const params: Record<string, string> = operation.id ? valid('param') : {};
    const [id = ''] = Object.values(params);
    const key = call.once ? c.req.header('idempotency-key') : undefined;
    const due = Date.now() + tools.timeLeft(c.env);
    const output = await operation.run(
      {
        context: tools.context,
        // Idempotency keys are separate for each caller, so that jobs of others cannot be found by guessing.
        by: {
          requestedBy: caller.name,
          ...(key === undefined ? {} : { idempotencyKey: `${caller.name}/${key}` }),
        },
        caller,
        allow: (needed) => tools.allow(caller, needed),
        timeLeft: () => due - Date.now(),
        accessList: tools.accessList,
      },
      id,
      input,
    );
    const redirectUrl = operation.redirect?.(output, input);
    if (redirectUrl !== undefined) return c.redirect(redirectUrl, 307);
    if (operation.text !== undefined) {
      return c.body(String(output), 200, { 'Content-Type': operation.text });
    }
    return c.json(output as object, operation.statusOf?.(input) ?? operation.status ?? 200);
  };
  // The library infers a handler's type from literal schemas. Here the schemas come from the table, which checks its
  // own types.
  api.openapi(createRoute(routeOf(name, operation)), handler as never);
}

/** The OpenAPI definition of the route. */
function routeOf(name: CallName, operation: AnyOperation) {
  const call: CallShape = CALLS[name];
  const { summary, description, id, input, output, returns = '', status = 200, text } = operation;
  const parameter = /\{(\w+)\}/.exec(call.path)?.[1];
  const json = (schema: z.ZodType) => ({ content: { 'application/json': { schema } } });
  const responses = operation.responses
    ? Object.entries(operation.responses).map(([code, { returns, output }]) => [
        code,
        { description: returns, ...json(output) },
      ])
    : [
        [
          status,
          {
            description: returns,
            ...(text === undefined
              ? json(output)
              : { content: { [text.split(';')[0] ?? text]: { schema: output } } }),
          },
        ],
      ];
  return {
    method: call.method.toLowerCase() as RouteConfig['method'],
    path: PREFIX + call.path,
    summary,
    ...(description === undefined ? {} : { description }),
    request: {
      ...(id && parameter ? { params: z.object({ [parameter]: id }) } : {}),
      ...(call.input === 'query' ? { query: input as z.ZodObject } : {}),
      ...(call.input === 'body' && input
        ? { body: { required: operation.bodyOptional !== true, ...json(input) } }
        : {}),
      ...(call.once ? { headers: z.object({ 'idempotency-key': IdempotencyKey.optional() }) } : {}),
    },
    responses: {
      ...Object.fromEntries(responses),
      ...(operation.redirect
        ? { 307: { description: returns, headers: z.object({ Location: z.string() }) } }
        : {}),
      ...PROBLEMS,
    },
  } satisfies RouteConfig;
}
