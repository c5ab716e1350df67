import { createRoute } from '@hono/zod-openapi';
import { Cancellation, cancelJob } from '../../operations/cancel-job.ts';
import { JobList, ListJobsInput, listJobs } from '../../operations/list-jobs.ts';
import { JobView, showJob } from '../../operations/show-job.ts';
import type { Api, RouteTools } from '../route-tools.ts';
import { answer, JobPath, PROBLEMS } from './answers.ts';

const list = createRoute({
  method: 'get',
  path: '/api/v1/jobs',
  summary: 'List jobs, newest first',
  request: { query: ListJobsInput },
  responses: { 200: answer('The newest matching jobs.', JobList), ...PROBLEMS },
});
const show = createRoute({
  method: 'get',
  path: '/api/v1/jobs/{job}',
  summary: 'Show one job: state, progress, rates, log',
  request: { params: JobPath },
  responses: { 200: answer('The job.', JobView), ...PROBLEMS },
});
const cancel = createRoute({
  method: 'post',
  path: '/api/v1/jobs/{job}/cancel',
  summary: 'Stop a job',
  description: 'Can be repeated; refused (409) once the job has ended.',
  request: { params: JobPath },
  responses: { 202: answer('The job is being stopped.', Cancellation), ...PROBLEMS },
});

/** `/api/v1/jobs…` */
export function jobRoutes(api: Api, { context, allow }: RouteTools): void {
  api.openapi(list, async (c) => {
    allow(c.get('caller'), 'viewer');
    return c.json(await listJobs(context, c.req.valid('query')), 200);
  });
  api.openapi(show, async (c) => {
    allow(c.get('caller'), 'viewer');
    return c.json(await showJob(context, c.req.valid('param').job), 200);
  });
  api.openapi(cancel, async (c) => {
    const caller = c.get('caller');
    allow(caller, 'operator', 'costly');
    return c.json(await cancelJob(context, c.req.valid('param').job, { requestedBy: caller.name }), 202);
  });
}
