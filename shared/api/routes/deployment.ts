import { createRoute, z } from '@hono/zod-openapi';
import { Deployment, describeDeployment } from '../../operations/describe-deployment.ts';
import { Overview, overview } from '../../operations/overview.ts';
import { type Authenticator, ROLES } from '../access.ts';
import type { Api, RouteTools } from '../route-tools.ts';
import { answer, PROBLEMS } from './answers.ts';

export type { Deployment };

export const Me = z.object({
  /** The key's name, or `jwt:` with the token's subject. */
  name: z.string(),
  role: z.enum(ROLES),
});
export type Me = z.infer<typeof Me>;

export const KeyList = z.object({
  /** In the order of the secret. Of a key itself nobody knows more than its hash, which is not told either. */
  keys: z.array(
    z.object({
      name: z.string(),
      role: z.enum(ROLES),
      expires_at: z.iso.datetime({ offset: true }).optional(),
    }),
  ),
  /** Whose JSON Web Tokens count as well. */
  jwt: z.object({ issuer: z.string(), audience: z.string(), role_claim: z.string() }).optional(),
});
export type KeyList = z.infer<typeof KeyList>;

const me = createRoute({
  method: 'get',
  path: '/api/v1/me',
  summary: 'Show the caller: name and role of the key',
  responses: { 200: answer('The caller.', Me), ...PROBLEMS },
});
const keys = createRoute({
  method: 'get',
  path: '/api/v1/keys',
  summary: 'List API keys and roles, without keys or hashes',
  responses: { 200: answer('Names, roles and expiry times.', KeyList), ...PROBLEMS },
});
const deployment = createRoute({
  method: 'get',
  path: '/api/v1/deployment',
  summary: 'Show what this deployment backs up, and its limitations',
  responses: {
    200: answer('Targets, retention and capabilities, without secrets.', Deployment),
    ...PROBLEMS,
  },
});

const overviewRoute = createRoute({
  method: 'get',
  path: '/api/v1/overview',
  summary: 'Show whether targets are recoverable: latest good backups, storage used, history',
  responses: { 200: answer('By target, and the backups of the last 90 days.', Overview), ...PROBLEMS },
});

/** `/api/v1/me`, `/api/v1/keys`, `/api/v1/deployment` and `/api/v1/overview` */
export function deploymentRoutes(
  api: Api,
  { context, allow }: RouteTools,
  authenticator: Authenticator,
): void {
  api.openapi(me, (c) => {
    const { name, role } = c.get('caller');
    return c.json({ name, role }, 200);
  });
  api.openapi(keys, async (c) => {
    allow(c.get('caller'), 'admin');
    const list = await authenticator.accessList();
    return c.json(
      {
        keys: list.keys.map(({ name, role, expires_at }) => ({
          name,
          role,
          ...(expires_at === undefined ? {} : { expires_at }),
        })),
        ...(list.jwt
          ? { jwt: { issuer: list.jwt.issuer, audience: list.jwt.audience, role_claim: list.jwt.role_claim } }
          : {}),
      },
      200,
    );
  });
  api.openapi(deployment, (c) => {
    allow(c.get('caller'), 'viewer');
    return c.json(describeDeployment(context), 200);
  });
  api.openapi(overviewRoute, async (c) => {
    allow(c.get('caller'), 'viewer');
    return c.json(await overview(context), 200);
  });
}
