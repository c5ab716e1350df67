import type { OpenAPIHono } from '@hono/zod-openapi';
import type { OperationsContext } from '../operations/context.ts';
import type { Caller, Role } from './access.ts';

export interface ApiVariables {
  caller: Caller;
  requestId: string;
}
export type Api = OpenAPIHono<{ Variables: ApiVariables }>;

/** What route files work with. */
export interface RouteTools {
  readonly context: OperationsContext;
  /** Throws ForbiddenError unless the caller has the role; with `costly`, counts the call. */
  allow(caller: Caller, role: Role, costly?: 'costly'): void;
  timeLeft(env: unknown): number;
}
