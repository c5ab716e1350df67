import { createRoute, z } from '@hono/zod-openapi';
import {
  RetentionSetting,
  resetRetention,
  SetRetentionInput,
  setRetention,
  showRetention,
} from '../../operations/retention.ts';
import type { Api, RouteTools } from '../route-tools.ts';
import { answer, body, PROBLEMS } from './answers.ts';

const path = '/api/v1/retention';
const show = createRoute({
  method: 'get',
  path,
  summary: 'Show the retention policy and who set it',
  responses: { 200: answer('The current policy.', RetentionSetting), ...PROBLEMS },
});
const set = createRoute({
  method: 'put',
  path,
  summary: 'Set the retention policy',
  description:
    'The whole policy, for all targets, from the next run of retention on. Nothing is deleted by this call; `POST /api/v1/backup/prune` shows beforehand what it would keep and drop.',
  request: { body: body(SetRetentionInput) },
  responses: { 200: answer('The updated policy.', RetentionSetting), ...PROBLEMS },
});
const reset = createRoute({
  method: 'delete',
  path,
  summary: 'Reset the retention policy to the one in cdk.json',
  request: { query: z.object({ version: SetRetentionInput.shape.version }) },
  responses: { 200: answer('The updated policy.', RetentionSetting), ...PROBLEMS },
});

/** `/api/v1/retention` */
export function retentionRoutes(api: Api, { context, allow }: RouteTools): void {
  api.openapi(show, async (c) => {
    allow(c.get('caller'), 'viewer');
    return c.json(await showRetention(context), 200);
  });
  // What it keeps no more is deleted later: whoever may set it may delete.
  api.openapi(set, async (c) => {
    const caller = c.get('caller');
    allow(caller, 'admin', 'costly');
    return c.json(await setRetention(context, c.req.valid('json'), { requestedBy: caller.name }), 200);
  });
  api.openapi(reset, async (c) => {
    allow(c.get('caller'), 'admin', 'costly');
    return c.json(await resetRetention(context, c.req.valid('query')), 200);
  });
}
