import { createRoute, z } from '@hono/zod-openapi';
import { Id } from '../../core/ids.ts';
import { AttachInput, attachDeferred } from '../../operations/attach.ts';
import {
  ChangeOptionsInput,
  changeRestoreOptions,
  confirmRestore,
  RequestRestoreInput,
  RestoreBackupInput,
  rejectRestore,
  requestRestore,
  restoreBackup,
} from '../../operations/restore.ts';
import { StartedJob } from '../../operations/start.ts';
import {
  CompletedUpload,
  completeRestoreUpload,
  ListUploadInput,
  listUpload,
  PresignedParts,
  PresignPartsInput,
  presignParts,
  UploadStatus,
} from '../../operations/upload.ts';
import { MultipartUpload, SingleUpload } from '../../workflows/restore/request.ts';
import type { Api, RouteTools } from '../route-tools.ts';
import { answer, body, IdempotencyHeader, JobPath, ONCE, PROBLEMS } from './answers.ts';
import { keyOf } from './backups.ts';

const Accepted = z.object({ job_id: Id });

const restore = createRoute({
  method: 'post',
  path: '/api/v1/restore',
  summary: 'Restore a backup or an archive to be uploaded',
  description: `With \`backup_id\` the restore starts (202). With \`file_name\` the response (201) says where to upload the archive; a completed upload starts the restore. With \`"upload": "multipart"\`, the archive is uploaded in parts. Without \`confirm\`, the restore waits for /confirm after its inspection. ${ONCE} For an upload, the URLs are renewed.`,
  request: {
    headers: IdempotencyHeader,
    body: body(z.union([RestoreBackupInput, RequestRestoreInput])),
  },
  responses: {
    201: answer('Where to upload the archive.', z.union([SingleUpload, MultipartUpload])),
    202: answer('The job that restores the backup.', StartedJob),
    ...PROBLEMS,
  },
});
const listParts = createRoute({
  method: 'get',
  path: '/api/v1/restore/{job}/parts',
  summary: 'List the uploaded parts, to resume an upload',
  request: { params: JobPath, query: ListUploadInput },
  responses: { 200: answer('The size of the parts, and which are uploaded.', UploadStatus), ...PROBLEMS },
});
const signParts = createRoute({
  method: 'post',
  path: '/api/v1/restore/{job}/parts',
  summary: 'Get URLs for parts of an upload',
  description:
    'Each URL accepts a PUT of one part, with exactly the bytes whose SHA-256 was given, for 15 minutes. It can be requested again while the job waits for its upload.',
  request: { params: JobPath, body: body(PresignPartsInput) },
  responses: { 200: answer('The URLs. Treat them as credentials.', PresignedParts), ...PROBLEMS },
});
const complete = createRoute({
  method: 'post',
  path: '/api/v1/restore/{job}/complete',
  summary: 'Complete an upload, which starts the restore',
  description:
    'Refused while parts are missing. Can be repeated: the restore starts once. To abandon the upload, cancel the job.',
  request: { params: JobPath },
  responses: { 202: answer('The upload is complete.', CompletedUpload), ...PROBLEMS },
});
const confirm = createRoute({
  method: 'post',
  path: '/api/v1/restore/{job}/confirm',
  summary: 'Approve a pending restore',
  description: 'A restore can be approved or rejected once. Repeated, the call is refused (409).',
  request: {
    params: JobPath,
    body: body(
      z.strictObject({
        /** The target's name. */
        phrase: z.string().max(80),
        /** `inspected_at` of the inspection that was looked at: refused if there is a newer one. */
        inspected_at: z.iso.datetime().optional(),
      }),
    ),
  },
  responses: { 202: answer('The restore continues.', Accepted), ...PROBLEMS },
});
const change = createRoute({
  method: 'post',
  path: '/api/v1/restore/{job}/options',
  summary: 'Inspect a pending restore again with other options',
  description:
    'Replaces all options. Nothing is written, and the restore waits for confirmation again. Refused (409) while an inspection is running.',
  request: { params: JobPath, body: body(ChangeOptionsInput) },
  responses: { 202: answer('The inspection has started.', Accepted), ...PROBLEMS },
});
const attach = createRoute({
  method: 'post',
  path: '/api/v1/restore/{job}/attach',
  summary: 'Attach relationships that a restore deferred because their other node did not exist',
  description: `For restores with \`"dangling": "defer"\`. Can be repeated: relationships that are already attached are left unchanged. ${ONCE}`,
  request: { params: JobPath, headers: IdempotencyHeader, body: body(AttachInput) },
  responses: { 202: answer('The job that attaches them.', StartedJob), ...PROBLEMS },
});
const reject = createRoute({
  method: 'post',
  path: '/api/v1/restore/{job}/reject',
  summary: 'Reject a pending restore',
  description: 'A restore can be approved or rejected once. Repeated, the call is refused (409).',
  request: {
    params: JobPath,
    body: body(z.strictObject({ reason: z.string().max(1000).optional() }), false),
  },
  responses: { 202: answer('The restore ends; nothing was changed.', Accepted), ...PROBLEMS },
});

/** `/api/v1/restore…` */
export function restoreRoutes(api: Api, { context, allow }: RouteTools): void {
  api.openapi(restore, async (c) => {
    const caller = c.get('caller');
    allow(caller, 'operator', 'costly');
    const input = c.req.valid('json');
    const idempotencyKey = keyOf(caller.name, c.req.valid('header')['idempotency-key']);
    const by = { requestedBy: caller.name, idempotencyKey };
    if ('file_name' in input) return c.json(await requestRestore(context, input, by), 201);
    return c.json(await restoreBackup(context, input, by), 202);
  });
  api.openapi(listParts, async (c) => {
    allow(c.get('caller'), 'viewer');
    return c.json(await listUpload(context, c.req.valid('param').job, c.req.valid('query')), 200);
  });
  api.openapi(signParts, async (c) => {
    allow(c.get('caller'), 'operator');
    return c.json(await presignParts(context, c.req.valid('param').job, c.req.valid('json')), 200);
  });
  api.openapi(complete, async (c) => {
    allow(c.get('caller'), 'operator');
    return c.json(await completeRestoreUpload(context, c.req.valid('param').job), 202);
  });
  api.openapi(confirm, async (c) => {
    allow(c.get('caller'), 'operator');
    const { job } = c.req.valid('param');
    const { phrase, inspected_at } = c.req.valid('json');
    await confirmRestore(context, job, phrase, inspected_at);
    return c.json({ job_id: job }, 202);
  });
  api.openapi(change, async (c) => {
    allow(c.get('caller'), 'operator', 'costly');
    const { job } = c.req.valid('param');
    await changeRestoreOptions(context, job, c.req.valid('json'));
    return c.json({ job_id: job }, 202);
  });
  api.openapi(attach, async (c) => {
    const caller = c.get('caller');
    allow(caller, 'operator', 'costly');
    const idempotencyKey = keyOf(caller.name, c.req.valid('header')['idempotency-key']);
    const by = { requestedBy: caller.name, idempotencyKey };
    const { job } = c.req.valid('param');
    return c.json(await attachDeferred(context, job, c.req.valid('json'), by), 202);
  });
  api.openapi(reject, async (c) => {
    allow(c.get('caller'), 'operator');
    const { job } = c.req.valid('param');
    await rejectRestore(context, job, c.req.valid('json')?.reason);
    return c.json({ job_id: job }, 202);
  });
}
