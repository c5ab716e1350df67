import { createRoute, z } from '@hono/zod-openapi';
import { Id } from '../../ids.ts';
import {
  confirmRestore,
  RequestRestoreInput,
  RestoreBackupInput,
  rejectRestore,
  requestRestore,
  restoreBackup,
} from '../../operations/restore.ts';
import { StartedJob } from '../../operations/start.ts';
import type { Api, RouteTools } from '../app.ts';
import { answer, body, IdempotencyHeader, JobPath, PROBLEMS } from './answers.ts';
import { keyOf } from './backups.ts';

/** Where and how to upload. The addresses are credentials. */
const Upload = z.object({
  job_id: Id,
  key: z.string(),
  expires_at: z.iso.datetime(),
  put: z.object({
    url: z.string(),
    method: z.literal('PUT'),
    headers: z.record(z.string(), z.string()),
  }),
  post: z.object({ url: z.string(), fields: z.record(z.string(), z.string()) }),
});
const Accepted = z.object({ job_id: Id });

const restore = createRoute({
  method: 'post',
  path: '/api/v1/restore',
  summary: 'Restore a backup, or an archive that is still to be uploaded',
  description:
    'With `backup_id` the restore starts (202). With `file_name` the answer (201) says where to upload the archive, which starts it. Without `confirm` it waits for /confirm after its inspection.',
  request: {
    headers: IdempotencyHeader,
    body: body(z.union([RestoreBackupInput, RequestRestoreInput])),
  },
  responses: {
    201: answer('Where to upload the archive.', Upload),
    202: answer('The job that restores the backup.', StartedJob),
    ...PROBLEMS,
  },
});
const confirm = createRoute({
  method: 'post',
  path: '/api/v1/restore/{job}/confirm',
  summary: 'Let a restore that waits go on',
  request: {
    params: JobPath,
    body: body(z.strictObject({ phrase: z.string().max(80) })),
  },
  responses: { 202: answer('It goes on.', Accepted), ...PROBLEMS },
});
const reject = createRoute({
  method: 'post',
  path: '/api/v1/restore/{job}/reject',
  summary: 'End a restore that waits',
  request: {
    params: JobPath,
    body: body(z.strictObject({ reason: z.string().max(1000).optional() }), false),
  },
  responses: { 202: answer('It ends; nothing was changed.', Accepted), ...PROBLEMS },
});

/** `/api/v1/restore…` */
export function restoreRoutes(api: Api, { context, allow }: RouteTools): void {
  api.openapi(restore, async (c) => {
    const caller = c.get('caller');
    allow(caller, 'operator', 'costly');
    const input = c.req.valid('json');
    const by = { requestedBy: caller.name };
    if ('file_name' in input) return c.json(await requestRestore(context, input, by), 201);
    const idempotencyKey = keyOf(caller.name, c.req.valid('header')['idempotency-key']);
    return c.json(await restoreBackup(context, input, { ...by, idempotencyKey }), 202);
  });
  api.openapi(confirm, async (c) => {
    allow(c.get('caller'), 'operator');
    const { job } = c.req.valid('param');
    await confirmRestore(context, job, c.req.valid('json').phrase);
    return c.json({ job_id: job }, 202);
  });
  api.openapi(reject, async (c) => {
    allow(c.get('caller'), 'operator');
    const { job } = c.req.valid('param');
    await rejectRestore(context, job, c.req.valid('json')?.reason);
    return c.json({ job_id: job }, 202);
  });
}
