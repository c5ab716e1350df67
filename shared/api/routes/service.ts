import { createRoute, z } from '@hono/zod-openapi';
import { checkHealth, Health } from '../../operations/health.ts';
import { metricsText } from '../../operations/metrics.ts';
import type { Api, RouteTools } from '../route-tools.ts';
import { answer, PROBLEMS } from './answers.ts';

const health = createRoute({
  method: 'get',
  path: '/api/v1/health',
  summary: 'Check the bucket, the workflows and the age of the newest backup',
  responses: { 200: answer('The checks, also if the deployment is degraded.', Health), ...PROBLEMS },
});
const metrics = createRoute({
  method: 'get',
  path: '/api/v1/metrics',
  summary: 'Metrics for Prometheus',
  responses: {
    200: {
      description: 'Text exposition format 0.0.4.',
      content: { 'text/plain': { schema: z.string() } },
    },
    ...PROBLEMS,
  },
});

/** `/api/v1/health` and `/api/v1/metrics` */
export function serviceRoutes(api: Api, { context, allow }: RouteTools): void {
  api.openapi(health, async (c) => {
    allow(c.get('caller'), 'viewer');
    return c.json(await checkHealth(context), 200);
  });
  api.openapi(metrics, async (c) => {
    allow(c.get('caller'), 'viewer');
    return c.text(await metricsText(context), 200, {
      'Content-Type': 'text/plain; version=0.0.4; charset=utf-8',
    });
  });
}
