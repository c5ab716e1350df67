import { createRoute, z } from '@hono/zod-openapi';
import { changeSchedule, createSchedule, removeSchedule } from '../../operations/change-schedules.ts';
import { listSchedules, ScheduleList, ScheduleView, showSchedule } from '../../operations/list-schedules.ts';
import { runSchedule } from '../../operations/run-schedule.ts';
import { StartedBackup } from '../../operations/start-backup.ts';
import { CreateScheduleInput, ScheduleChanges, ScheduleName } from '../../schedules/schedule.ts';
import type { Api, RouteTools } from '../route-tools.ts';
import { answer, body, IdempotencyHeader, ONCE, PROBLEMS } from './answers.ts';
import { keyOf } from './backups.ts';

const SchedulePath = z.object({ name: ScheduleName });

const list = createRoute({
  method: 'get',
  path: '/api/v1/schedules',
  summary: 'List the schedules with their last, next and missed runs',
  responses: { 200: answer('All of them, by name.', ScheduleList), ...PROBLEMS },
});
const create = createRoute({
  method: 'post',
  path: '/api/v1/schedules',
  summary: 'Create a schedule',
  description:
    'Idempotent. `expression` is that of EventBridge Scheduler: `cron(0 3 * * ? *)`, `rate(6 hours)` or `at(2026-12-24T20:00:00)`.',
  request: { body: body(CreateScheduleInput) },
  responses: { 201: answer('The schedule.', ScheduleView), ...PROBLEMS },
});
const show = createRoute({
  method: 'get',
  path: '/api/v1/schedules/{name}',
  summary: 'Show one schedule',
  request: { params: SchedulePath },
  responses: { 200: answer('The schedule.', ScheduleView), ...PROBLEMS },
});
const change = createRoute({
  method: 'patch',
  path: '/api/v1/schedules/{name}',
  summary: 'Change, pause or resume a schedule',
  description: 'Omitted fields are unchanged; `backup` is replaced as a whole; `enabled` pauses and resumes.',
  request: { params: SchedulePath, body: body(ScheduleChanges) },
  responses: { 200: answer('The updated schedule.', ScheduleView), ...PROBLEMS },
});
const remove = createRoute({
  method: 'delete',
  path: '/api/v1/schedules/{name}',
  summary: 'Remove a schedule; its backups are kept',
  request: { params: SchedulePath },
  responses: { 200: answer('The schedule was removed.', z.object({ name: ScheduleName })), ...PROBLEMS },
});
const run = createRoute({
  method: 'post',
  path: '/api/v1/schedules/{name}/run',
  summary: 'Start the backup of a schedule now',
  description: ONCE,
  request: { params: SchedulePath, headers: IdempotencyHeader },
  responses: { 202: answer('The job that creates the backup.', StartedBackup), ...PROBLEMS },
});

/** `/api/v1/schedules…` */
export function scheduleRoutes(api: Api, { context, allow }: RouteTools): void {
  api.openapi(list, async (c) => {
    allow(c.get('caller'), 'viewer');
    return c.json(await listSchedules(context), 200);
  });
  api.openapi(create, async (c) => {
    const caller = c.get('caller');
    allow(caller, 'operator', 'costly');
    return c.json(await createSchedule(context, c.req.valid('json'), { requestedBy: caller.name }), 201);
  });
  api.openapi(show, async (c) => {
    allow(c.get('caller'), 'viewer');
    return c.json(await showSchedule(context, c.req.valid('param').name), 200);
  });
  api.openapi(change, async (c) => {
    allow(c.get('caller'), 'operator', 'costly');
    return c.json(await changeSchedule(context, c.req.valid('param').name, c.req.valid('json')), 200);
  });
  api.openapi(remove, async (c) => {
    allow(c.get('caller'), 'operator', 'costly');
    return c.json(await removeSchedule(context, c.req.valid('param').name), 200);
  });
  api.openapi(run, async (c) => {
    const caller = c.get('caller');
    allow(caller, 'operator', 'costly');
    const started = await runSchedule(context, c.req.valid('param').name, {
      requestedBy: caller.name,
      idempotencyKey: keyOf(caller.name, c.req.valid('header')['idempotency-key']),
    });
    return c.json(started, 202);
  });
}
