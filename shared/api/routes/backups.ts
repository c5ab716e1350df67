import { createRoute, z } from '@hono/zod-openapi';
import { Manifest } from '../../archive/format/manifest.ts';
import { BackupDetails } from '../../catalog/summaries.ts';
import { parseJson } from '../../core/input.ts';
import type { Json } from '../../core/json.ts';
import { AcknowledgeInput, acknowledgeWarnings } from '../../operations/acknowledge.ts';
import { Contents, ContentsInput, listContents, showManifest } from '../../operations/contents.ts';
import { Deletion, deleteBackup } from '../../operations/delete-backup.ts';
import { Download, DownloadInput, downloadBackup } from '../../operations/download-backup.ts';
import { BackupList, ListBackupsInput, listBackups } from '../../operations/list-backups.ts';
import { Pruned, PruneInput, prune } from '../../operations/prune.ts';
import { showBackup } from '../../operations/show-backup.ts';
import { StartBackupInput, StartedBackup, startBackup } from '../../operations/start-backup.ts';
import { BackupChanges, updateBackup } from '../../operations/update-backup.ts';
import { VerificationLeg, verifyBackup } from '../../operations/verify-backup.ts';
import type { Api, RouteTools } from '../route-tools.ts';
import { answer, BackupPath, body, Flag, IdempotencyHeader, ONCE, PROBLEMS } from './answers.ts';

/** A leg of a verification ends so long before its answer is due, in milliseconds. */
const VERIFY_MARGIN_MS = 5000;

/** Where a verification continues is for us to know: callers hand it back as it is. */
const CursorText = z.string().max(16_384);

const start = createRoute({
  method: 'post',
  path: '/api/v1/backup',
  summary: 'Start a backup',
  description: ONCE,
  request: { headers: IdempotencyHeader, body: body(StartBackupInput, false) },
  responses: { 202: answer('The job that creates the backup.', StartedBackup), ...PROBLEMS },
});
const list = createRoute({
  method: 'get',
  path: '/api/v1/backup',
  summary: 'List the backups, newest first',
  request: { query: ListBackupsInput },
  responses: { 200: answer('One page.', BackupList), ...PROBLEMS },
});
const pruneRoute = createRoute({
  method: 'post',
  path: '/api/v1/backup/prune',
  summary: 'Show or delete backups that no retention rule keeps',
  description: 'Idempotent.',
  request: { body: body(PruneInput, false) },
  responses: { 200: answer('Each backup with the rule that keeps or drops it.', Pruned), ...PROBLEMS },
});
const show = createRoute({
  method: 'get',
  path: '/api/v1/backup/{id}',
  summary: 'Show one backup',
  request: { params: BackupPath },
  responses: { 200: answer('Its catalog record, with its assessment.', BackupDetails), ...PROBLEMS },
});
const contents = createRoute({
  method: 'get',
  path: '/api/v1/backup/{id}/contents',
  summary: 'List the entries of a backup',
  request: { params: BackupPath, query: ContentsInput },
  responses: { 200: answer('One page of its entries.', Contents), ...PROBLEMS },
});
const manifest = createRoute({
  method: 'get',
  path: '/api/v1/backup/{id}/manifest',
  summary: 'Show the manifest of a backup',
  request: { params: BackupPath },
  responses: { 200: answer('manifest.json of the archive.', Manifest), ...PROBLEMS },
});
const download = createRoute({
  method: 'get',
  path: '/api/v1/backup/{id}/download',
  summary: 'Download a backup, or one entry of it',
  description:
    'Redirects to a presigned URL. With `entry` or `redirect=false`, returns the URL and the headers to send with it.',
  request: { params: BackupPath, query: DownloadInput.extend({ redirect: Flag.default('true') }) },
  responses: {
    200: answer('The download URL.', Download),
    307: { description: 'The download URL.', headers: z.object({ Location: z.string() }) },
    ...PROBLEMS,
  },
});
const change = createRoute({
  method: 'patch',
  path: '/api/v1/backup/{id}',
  summary: "Change a backup's tags, note or retention",
  description: 'Shortening or removing a retention requires the role admin.',
  request: { params: BackupPath, body: body(BackupChanges) },
  responses: { 200: answer('The updated record.', BackupDetails), ...PROBLEMS },
});
const acknowledge = createRoute({
  method: 'post',
  path: '/api/v1/backup/{id}/acknowledge',
  summary: 'Acknowledge warnings of a backup, for its target',
  description:
    'Acknowledged warnings stay visible, but no backup of the target is `complete_with_warnings` because of them. Idempotent; `"acknowledged": false` withdraws the acknowledgement.',
  request: { params: BackupPath, body: body(AcknowledgeInput, false) },
  responses: { 200: answer('The backup with its warnings.', BackupDetails), ...PROBLEMS },
});
const remove = createRoute({
  method: 'delete',
  path: '/api/v1/backup/{id}',
  summary: 'Delete a backup permanently',
  request: { params: BackupPath },
  responses: { 200: answer('The space that was freed.', Deletion), ...PROBLEMS },
});
const verify = createRoute({
  method: 'post',
  path: '/api/v1/backup/{id}/verify',
  summary: 'Verify every byte of a backup',
  description:
    'Works for some seconds. Until `done` is true, call it again with the `cursor` of the response. The result is recorded in the catalog.',
  request: {
    params: BackupPath,
    body: body(z.strictObject({ cursor: CursorText.nullable().optional() }), false),
  },
  responses: {
    200: answer('The result so far.', VerificationLeg.extend({ cursor: CursorText.nullable() })),
    ...PROBLEMS,
  },
});

/** `/api/v1/backup…` */
export function backupRoutes(api: Api, { context, allow, timeLeft }: RouteTools): void {
  api.openapi(start, async (c) => {
    const caller = c.get('caller');
    allow(caller, 'operator', 'costly');
    const input = StartBackupInput.parse(c.req.valid('json') ?? {});
    const started = await startBackup(context, input, {
      requestedBy: caller.name,
      idempotencyKey: keyOf(caller.name, c.req.valid('header')['idempotency-key']),
    });
    return c.json(started, 202);
  });
  api.openapi(list, async (c) => {
    allow(c.get('caller'), 'viewer');
    return c.json(await listBackups(context, c.req.valid('query')), 200);
  });
  api.openapi(pruneRoute, async (c) => {
    const input = PruneInput.parse(c.req.valid('json') ?? {});
    allow(c.get('caller'), input.dry_run ? 'viewer' : 'admin', 'costly');
    return c.json(await prune(context, input), 200);
  });
  api.openapi(show, async (c) => {
    allow(c.get('caller'), 'viewer');
    return c.json(await showBackup(context, c.req.valid('param').id), 200);
  });
  api.openapi(contents, async (c) => {
    allow(c.get('caller'), 'viewer');
    return c.json(await listContents(context, c.req.valid('param').id, c.req.valid('query')), 200);
  });
  api.openapi(manifest, async (c) => {
    allow(c.get('caller'), 'viewer');
    return c.json(await showManifest(context, c.req.valid('param').id), 200);
  });
  api.openapi(download, async (c) => {
    allow(c.get('caller'), 'operator');
    const { redirect, ...input } = c.req.valid('query');
    const link = await downloadBackup(context, c.req.valid('param').id, input);
    if (redirect === 'true' && input.entry === undefined) return c.redirect(link.url, 307);
    return c.json(link, 200);
  });
  api.openapi(change, async (c) => {
    const caller = c.get('caller');
    allow(caller, 'operator');
    // Whoever may let a backup go earlier may delete it.
    const allowShorter = () => allow(caller, 'admin');
    const { id } = c.req.valid('param');
    return c.json(await updateBackup(context, id, c.req.valid('json'), allowShorter), 200);
  });
  api.openapi(acknowledge, async (c) => {
    const caller = c.get('caller');
    allow(caller, 'operator');
    const input = AcknowledgeInput.parse(c.req.valid('json') ?? {});
    const by = { requestedBy: caller.name };
    return c.json(await acknowledgeWarnings(context, c.req.valid('param').id, input, by), 200);
  });
  api.openapi(remove, async (c) => {
    allow(c.get('caller'), 'admin', 'costly');
    return c.json(await deleteBackup(context, c.req.valid('param').id), 200);
  });
  api.openapi(verify, async (c) => {
    allow(c.get('caller'), 'operator', 'costly');
    const cursor = c.req.valid('json')?.cursor;
    const until = Date.now() + timeLeft(c.env) - VERIFY_MARGIN_MS;
    const leg = await verifyBackup(context, c.req.valid('param').id, {
      cursor: cursor == null ? null : (parseJson(z.json(), cursor, 'The cursor') as Json),
      timeLeft: () => until - Date.now(),
    });
    return c.json({ ...leg, cursor: leg.cursor === null ? null : JSON.stringify(leg.cursor) }, 200);
  });
}

/** Each caller has keys of its own: nobody learns of another's job by guessing. */
export function keyOf(caller: string, key: string | undefined): string | undefined {
  return key === undefined ? undefined : `${caller}/${key}`;
}
