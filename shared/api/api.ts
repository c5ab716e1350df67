import type { OpenAPIHono } from '@hono/zod-openapi';
import type { Role } from '../core/roles.ts';

/** The caller. */
export interface Caller {
  readonly name: string;
  readonly role: Role;
}

export interface ApiVariables {
  caller: Caller;
  requestId: string;
}
export type Api = OpenAPIHono<{ Variables: ApiVariables }>;
