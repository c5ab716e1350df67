import { z } from 'zod';
import { Manifest } from '../archive/format/manifest.ts';
import { BackupDetails } from '../catalog/summaries.ts';
import type { CallName } from '../core/calls.ts';
import { Id } from '../core/ids.ts';
import { parseJson } from '../core/input.ts';
import type { Json } from '../core/json.ts';
import { CreateScheduleInput, ScheduleChanges, ScheduleName } from '../schedules/schedule.ts';
import { DrillRecord } from '../workflows/drill/record.ts';
import { MultipartRequest, SingleUpload } from '../workflows/restore/request.ts';
import { AcknowledgeInput, acknowledgeWarnings } from './acknowledge.ts';
import { AttachInput, attachDeferred } from './attach.ts';
import { Calendar, CalendarInput, calendar } from './calendar.ts';
import { Cancellation, cancelJob } from './cancel-job.ts';
import { Costs, storageCosts } from './costs.ts';
import { changeSchedule, createSchedule, removeSchedule } from './change-schedules.ts';
import { Contents, ContentsInput, listContents, showManifest } from './contents.ts';
import { Deletion, deleteBackup } from './delete-backup.ts';
import { Deployment, describeDeployment } from './describe-deployment.ts';
import { BackupDiff, DiffInput, diffBackups } from './diff-backups.ts';
import { Download, DownloadInput, downloadBackup } from './download-backup.ts';
import { DrillList, ListDrillsInput, listDrills, StartDrillInput, showDrill, startDrill } from './drills.ts';
import { checkHealth, Health } from './health.ts';
import { BackupList, ListBackupsInput, listBackups } from './list-backups.ts';
import { JobList, ListJobsInput, listJobs } from './list-jobs.ts';
import { listSchedules, ScheduleList, ScheduleView, showSchedule } from './list-schedules.ts';
import { metricsText } from './metrics.ts';
import { Notifications, showNotifications, TestedNotifications, testNotifications } from './notifications.ts';
import { type ClientOf, KeyList, Me, operation } from './operation.ts';
import { Overview, overview } from './overview.ts';
import { Pruned, PruneInput, prune } from './prune.ts';
import { Recoverability, RecoverabilityInput, recoverability } from './recoverability.ts';
import {
  ChangeOptionsInput,
  changeRestoreOptions,
  confirmRestore,
  RequestRestoreInput,
  RestoreBackupInput,
  rejectRestore,
  requestRestore,
  restoreBackup,
} from './restore.ts';
import {
  RetentionSetting,
  resetRetention,
  SetRetentionInput,
  setRetention,
  showRetention,
} from './retention.ts';
import { runSchedule } from './run-schedule.ts';
import { BackupView, showBackup } from './show-backup.ts';
import { JobView, showJob } from './show-job.ts';
import { SigningKeyView, showSigningKey } from './signing-key.ts';
import { StartedJob } from './start.ts';
import { StartBackupInput, StartedBackup, startBackup } from './start-backup.ts';
import { BackupChanges, updateBackup } from './update-backup.ts';
import {
  CompletedUpload,
  completeRestoreUpload,
  ListUploadInput,
  listUpload,
  PresignedParts,
  PresignPartsInput,
  presignParts,
  UploadStatus,
} from './upload.ts';
import { ThawInput, Thawing, thawBackup } from './thaw-backup.ts';
import { VerificationLeg, VerifyInput, verifyBackup } from './verify-backup.ts';

/** Description of operations that start jobs and accept the header. */
const ONCE =
  'With an `Idempotency-Key` header, repeating the call returns the job that it started; with a different body it is refused (409).';

/** Time by which a leg of a verification ends before its response is due, in milliseconds. */
const VERIFY_MARGIN_MS = 5000;

/** The cursor of a verification is opaque to callers, who pass it back unchanged. */
const CursorText = z.string().max(16_384);

const Accepted = z.object({ job_id: Id });

/**
 * Definition of each operation: input, output, role and function, by the names in `core/calls.ts`. The API mounts this
 * table; both clients of the command line and that of the dashboard take their types from it. To add an operation,
 * write its function, and add a line there and an entry here.
 */
export const OPERATIONS = {
  startBackup: operation({
    summary: 'Start a backup',
    description: ONCE,
    input: StartBackupInput,
    bodyOptional: true,
    rateLimited: true,
    status: 202,
    returns: 'The job that creates the backup.',
    output: StartedBackup,
    run: ({ context, by }, _id, input) => startBackup(context, input, by),
  }),
  listBackups: operation({
    summary: 'List the backups, newest first',
    input: ListBackupsInput,
    returns: 'One page.',
    output: BackupList,
    run: ({ context }, _id, input) => listBackups(context, input),
  }),
  prune: operation({
    summary: 'Show or delete backups that no retention rule keeps',
    description: 'Idempotent.',
    input: PruneInput,
    bodyOptional: true,
    rateLimited: true,
    returns: 'Each backup with the rule that keeps or drops it.',
    output: Pruned,
    run: ({ context, allow }, _id, input) => {
      if (!input.dry_run) allow('admin');
      return prune(context, input);
    },
  }),
  showBackup: operation({
    summary: 'Show one backup',
    id: Id,
    returns: 'Its catalog record, with its assessment, and where its archive is.',
    output: BackupView,
    run: ({ context }, id) => showBackup(context, id),
  }),
  listContents: operation({
    summary: 'List the entries of a backup',
    id: Id,
    input: ContentsInput,
    returns: 'One page of its entries.',
    output: Contents,
    run: ({ context }, id, input) => listContents(context, id, input),
  }),
  showManifest: operation({
    summary: 'Show the manifest of a backup',
    id: Id,
    returns: 'manifest.json of the archive.',
    output: Manifest,
    run: ({ context }, id) => showManifest(context, id),
  }),
  downloadBackup: operation({
    summary: 'Download a backup, or one entry of it',
    description:
      'Redirects to a presigned URL. With `entry` or `redirect=false`, returns the URL and the headers to send with it.',
    id: Id,
    input: DownloadInput.extend({ redirect: z.enum(['true', 'false']).default('true') }),
    returns: 'The download URL.',
    output: Download,
    redirect: ({ url }, { redirect, entry }) =>
      redirect === 'true' && entry === undefined ? url : undefined,
    run: ({ context }, id, { redirect: _redirect, ...input }) => downloadBackup(context, id, input),
  }),
  updateBackup: operation({
    summary: "Change a backup's tags, note or retention",
    description: 'Shortening or removing a retention requires the role admin.',
    id: Id,
    input: BackupChanges,
    returns: 'The updated record.',
    output: BackupDetails,
    // Shortening the retention of a backup is equivalent to deleting it.
    run: ({ context, allow }, id, input) => updateBackup(context, id, input, () => allow('admin')),
  }),
  acknowledgeWarnings: operation({
    summary: 'Acknowledge warnings of a backup, for its target',
    description:
      'Acknowledged warnings stay visible, but no backup of the target is `complete_with_warnings` because of them. Idempotent; `"acknowledged": false` withdraws the acknowledgement.',
    id: Id,
    input: AcknowledgeInput,
    bodyOptional: true,
    returns: 'The backup with its warnings.',
    output: BackupDetails,
    run: ({ context, by }, id, input) => acknowledgeWarnings(context, id, input, by),
  }),
  deleteBackup: operation({
    summary: 'Delete a backup permanently',
    id: Id,
    rateLimited: true,
    returns: 'The space that was freed.',
    output: Deletion,
    run: ({ context }, id) => deleteBackup(context, id),
  }),
  thawBackup: operation({
    summary: 'Thaw a backup whose archive is in cold storage',
    description:
      'Idempotent: the archive, or with `copy` that of a copy in another bucket, is requested from S3 once, which S3 bills. Repeat the call until `readable` is true, which takes minutes to two days.',
    id: Id,
    input: ThawInput,
    bodyOptional: true,
    returns: 'Where the archive is, and whether it can be read.',
    output: Thawing,
    run: ({ context }, id, input) => thawBackup(context, id, input),
  }),
  verifyBackup: operation({
    summary: 'Verify every byte and every record of a backup',
    description:
      'Checks the archive, or with `copy` a copy in another bucket, as the backup did before it was added to the catalog. Works for some seconds. Until `done` is true, call it again with the `cursor` of the response. The result is recorded in the catalog; `records` has what was read and counted.',
    id: Id,
    input: VerifyInput.extend({ cursor: CursorText.nullable().optional() }),
    bodyOptional: true,
    rateLimited: true,
    returns: 'The result so far.',
    output: VerificationLeg.extend({ cursor: CursorText.nullable() }),
    async run({ context, timeLeft, signal, progress }, id, { cursor, ...input }) {
      const time = {
        cursor: cursor == null ? null : (parseJson(z.json(), cursor, 'The cursor') as Json),
        timeLeft: () => timeLeft() - VERIFY_MARGIN_MS,
        ...(signal ? { signal } : {}),
        ...(progress ? { progress } : {}),
      };
      const leg = await verifyBackup(context, id, time, input);
      return { ...leg, cursor: leg.cursor === null ? null : JSON.stringify(leg.cursor) };
    },
  }),
  diffBackups: operation({
    summary: 'Compare two backups record by record',
    description:
      'Finds which records were added, changed and removed from the backup in the path to the backup `to`, with the names of some. Works for some seconds. Until `done` is true, call it again with the `cursor` of the response. Reads only the archives.',
    id: Id,
    input: DiffInput.extend({ cursor: CursorText.nullable().optional() }),
    rateLimited: true,
    returns: 'The result so far.',
    output: BackupDiff.extend({ cursor: CursorText.nullable() }),
    async run({ context, timeLeft, signal, progress }, id, { cursor, ...input }) {
      const leg = await diffBackups(context, id, input, {
        cursor: cursor == null ? null : (parseJson(z.json(), cursor, 'The cursor') as Json),
        timeLeft: () => timeLeft() - VERIFY_MARGIN_MS,
        signal: signal ?? new AbortController().signal,
        ...(progress ? { progress } : {}),
      });
      return { ...leg, cursor: leg.cursor === null ? null : JSON.stringify(leg.cursor) };
    },
  }),
  restore: operation({
    summary: 'Restore a backup or an archive to be uploaded',
    description: `With \`backup_id\` the restore starts (202). With \`file_name\` the response (201) says where to upload the archive; a completed upload starts the restore. With \`"upload": "multipart"\`, the archive is uploaded in parts. Without \`confirm\`, the restore waits for /confirm after its inspection. ${ONCE} For an upload, the URLs are renewed.`,
    input: z.union([RestoreBackupInput, RequestRestoreInput]),
    rateLimited: true,
    responses: {
      201: { returns: 'Where to upload the archive.', output: z.union([SingleUpload, MultipartRequest]) },
      202: { returns: 'The job that restores the backup.', output: StartedJob },
    },
    output: z.union([SingleUpload, MultipartRequest, StartedJob]),
    statusOf: (input) => ('file_name' in input ? 201 : 202),
    run: ({ context, by }, _id, input) =>
      'file_name' in input ? requestRestore(context, input, by) : restoreBackup(context, input, by),
  }),
  listUpload: operation({
    summary: 'List the uploaded parts, to resume an upload',
    id: Id,
    input: ListUploadInput,
    returns: 'The size of the parts, and which are uploaded.',
    output: UploadStatus,
    run: ({ context }, job, input) => listUpload(context, job, input),
  }),
  presignParts: operation({
    summary: 'Get URLs for parts of an upload',
    description:
      'Each URL accepts a PUT of one part, with exactly the bytes whose SHA-256 was given, for 15 minutes. It can be requested again while the job waits for its upload.',
    id: Id,
    input: PresignPartsInput,
    returns: 'The URLs. Treat them as credentials.',
    output: PresignedParts,
    run: ({ context }, job, input) => presignParts(context, job, input),
  }),
  completeUpload: operation({
    summary: 'Complete an upload, which starts the restore',
    description:
      'Refused while parts are missing. Can be repeated: the restore starts once. To abandon the upload, cancel the job.',
    id: Id,
    status: 202,
    returns: 'The upload is complete.',
    output: CompletedUpload,
    run: ({ context }, job) => completeRestoreUpload(context, job),
  }),
  confirmRestore: operation({
    summary: 'Approve a pending restore',
    description: 'A restore can be approved or rejected once. Repeated, the call is refused (409).',
    id: Id,
    input: z.strictObject({
      /** The target's name. */
      phrase: z.string().max(80),
      /** `inspected_at` of the inspection that the operator has seen. Refused if there is a newer one. */
      inspected_at: z.iso.datetime().optional(),
    }),
    status: 202,
    returns: 'The restore continues.',
    output: Accepted,
    async run({ context }, job, { phrase, inspected_at }) {
      await confirmRestore(context, job, phrase, inspected_at);
      return { job_id: job };
    },
  }),
  changeRestoreOptions: operation({
    summary: 'Inspect a pending restore again with other options',
    description:
      'Replaces all options. Nothing is written, and the restore waits for confirmation again. Refused (409) while an inspection is running.',
    id: Id,
    input: ChangeOptionsInput,
    rateLimited: true,
    status: 202,
    returns: 'The inspection has started.',
    output: Accepted,
    async run({ context }, job, input) {
      await changeRestoreOptions(context, job, input);
      return { job_id: job };
    },
  }),
  attachDeferred: operation({
    summary: 'Attach relationships that a restore deferred because their other node did not exist',
    description: `For restores with \`"dangling": "defer"\`. Can be repeated: relationships that are already attached are left unchanged. ${ONCE}`,
    id: Id,
    input: AttachInput,
    rateLimited: true,
    status: 202,
    returns: 'The job that attaches them.',
    output: StartedJob,
    run: ({ context, by }, job, input) => attachDeferred(context, job, input, by),
  }),
  rejectRestore: operation({
    summary: 'Reject a pending restore',
    description: 'A restore can be approved or rejected once. Repeated, the call is refused (409).',
    id: Id,
    input: z.strictObject({ reason: z.string().max(1000).optional() }),
    bodyOptional: true,
    status: 202,
    returns: 'The restore ends; nothing was changed.',
    output: Accepted,
    async run({ context }, job, { reason }) {
      await rejectRestore(context, job, reason);
      return { job_id: job };
    },
  }),
  startDrill: operation({
    summary: 'Start a drill: restore a backup to a scratch place, verify it, and remove it',
    description: `Without \`backup_id\`, the newest good backup of the target. Where it is restored to is part of the configuration: scratch names on the servers of the target, or another target. Nothing of any target is changed. ${ONCE}`,
    input: StartDrillInput,
    bodyOptional: true,
    rateLimited: true,
    status: 202,
    returns: 'The job that does the drill.',
    output: StartedJob,
    run: ({ context, by }, _id, input) => startDrill(context, input, by),
  }),
  listDrills: operation({
    summary: 'List what drills have proved, newest first',
    input: ListDrillsInput,
    returns: 'The newest matching drills.',
    output: DrillList,
    run: ({ context }, _id, input) => listDrills(context, input),
  }),
  showDrill: operation({
    summary: 'Show what one drill has proved',
    description: 'The record is written when the drill has ended, and kept until somebody deletes it.',
    id: Id,
    returns: 'Its record.',
    output: DrillRecord,
    run: ({ context }, job) => showDrill(context, job),
  }),
  listJobs: operation({
    summary: 'List jobs, newest first',
    input: ListJobsInput,
    returns: 'The newest matching jobs.',
    output: JobList,
    run: ({ context }, _id, input) => listJobs(context, input),
  }),
  showJob: operation({
    summary: 'Show one job: state, progress, rates, log',
    id: Id,
    returns: 'The job.',
    output: JobView,
    run: ({ context }, job) => showJob(context, job),
  }),
  cancelJob: operation({
    summary: 'Stop a job',
    description: 'Can be repeated; refused (409) once the job has ended.',
    id: Id,
    rateLimited: true,
    status: 202,
    returns: 'The job is being stopped.',
    output: Cancellation,
    run: ({ context, by }, job) => cancelJob(context, job, by),
  }),
  listSchedules: operation({
    summary: 'List the schedules with their last, next and missed runs',
    returns: 'All of them, by name.',
    output: ScheduleList,
    run: ({ context }) => listSchedules(context),
  }),
  createSchedule: operation({
    summary: 'Create a schedule',
    description:
      'Idempotent. `expression` is that of EventBridge Scheduler: `cron(0 3 * * ? *)`, `rate(6 hours)` or `at(2026-12-24T20:00:00)`.',
    input: CreateScheduleInput,
    rateLimited: true,
    status: 201,
    returns: 'The schedule.',
    output: ScheduleView,
    run: ({ context, by }, _id, input) => createSchedule(context, input, by),
  }),
  showSchedule: operation({
    summary: 'Show one schedule',
    id: ScheduleName,
    returns: 'The schedule.',
    output: ScheduleView,
    run: ({ context }, name) => showSchedule(context, name),
  }),
  changeSchedule: operation({
    summary: 'Change, pause or resume a schedule',
    description:
      'Omitted fields are unchanged; `backup` is replaced as a whole; `enabled` pauses and resumes.',
    id: ScheduleName,
    input: ScheduleChanges,
    rateLimited: true,
    returns: 'The updated schedule.',
    output: ScheduleView,
    run: ({ context }, name, input) => changeSchedule(context, name, input),
  }),
  removeSchedule: operation({
    summary: 'Remove a schedule; its backups are kept',
    id: ScheduleName,
    rateLimited: true,
    returns: 'The schedule was removed.',
    output: z.object({ name: ScheduleName }),
    run: ({ context }, name) => removeSchedule(context, name),
  }),
  runSchedule: operation({
    summary: 'Start the backup or drill of a schedule now',
    description: ONCE,
    id: ScheduleName,
    rateLimited: true,
    status: 202,
    returns: 'The job that creates the backup.',
    output: StartedBackup,
    run: ({ context, by }, name) => runSchedule(context, name, by),
  }),
  showRetention: operation({
    summary: 'Show the retention policy and who set it',
    returns: 'The current policy.',
    output: RetentionSetting,
    run: ({ context }) => showRetention(context),
  }),
  // Backups that the policy drops are deleted later: setting it needs the same role as deleting.
  setRetention: operation({
    summary: 'Set the retention policy',
    description:
      'The whole policy, for all targets, from the next run of retention on. Nothing is deleted by this call; `POST /api/v1/backup/prune` shows beforehand what it would keep and drop.',
    input: SetRetentionInput,
    rateLimited: true,
    returns: 'The updated policy.',
    output: RetentionSetting,
    run: ({ context, by }, _id, input) => setRetention(context, input, by),
  }),
  resetRetention: operation({
    summary: 'Reset the retention policy to the one in cdk.json',
    input: z.object({ version: SetRetentionInput.shape.version }),
    rateLimited: true,
    returns: 'The updated policy.',
    output: RetentionSetting,
    run: ({ context }, _id, input) => resetRetention(context, input),
  }),
  health: operation({
    summary: 'Check the bucket, the workflows and the age of the newest backup',
    returns: 'The checks, also if the deployment is degraded.',
    output: Health,
    run: ({ context }) => checkHealth(context),
  }),
  metrics: operation({
    summary: 'Metrics for Prometheus',
    returns: 'Text exposition format 0.0.4.',
    text: 'text/plain; version=0.0.4; charset=utf-8',
    output: z.string(),
    run: ({ context }) => metricsText(context),
  }),
  showNotifications: operation({
    summary: 'Show who is notified of events, and whether messages reach them',
    returns: 'The receivers, and a warning if nobody is notified.',
    output: Notifications,
    run: ({ context }) => showNotifications(context),
  }),
  testNotifications: operation({
    summary: 'Send a test message to every receiver of notifications',
    description:
      'Works for some seconds. The message is sent in the same way as every other one. A repeated call sends another one.',
    rateLimited: true,
    returns: 'The outcome for each receiver.',
    output: TestedNotifications,
    run: ({ context, by, timeLeft }) => testNotifications(context, by.requestedBy, timeLeft),
  }),
  me: operation({
    summary: 'Show the caller: name and role of the key',
    returns: 'The caller.',
    output: Me,
    run: ({ caller: { name, role } }) => ({ name, role }),
  }),
  keys: operation({
    summary: 'List API keys and roles, without keys or hashes',
    returns: 'Names, roles and expiry times.',
    output: KeyList,
    run: ({ accessList }) => accessList(),
  }),
  signingKey: operation({
    summary: 'Show the public key that verifies the signatures of archives',
    returns: 'The key, also in PEM. Refused (404) if the deployment does not sign archives.',
    output: SigningKeyView,
    run: ({ context }) => showSigningKey(context),
  }),
  deployment: operation({
    summary: 'Show what this deployment backs up, and its limitations',
    returns: 'Targets, retention and capabilities, without secrets.',
    output: Deployment,
    run: ({ context }) => describeDeployment(context),
  }),
  overview: operation({
    summary: 'Show latest good backups, storage used and history of each target',
    returns: 'By target, and the backups of the last 90 days.',
    output: Overview,
    run: ({ context }) => overview(context),
  }),
  recoverability: operation({
    summary: 'Show whether each target is recoverable now, from which backup, and why not',
    input: RecoverabilityInput,
    returns: 'The verdict for each target with its reasons, and the worst of them.',
    output: Recoverability,
    run: ({ context }, _id, input) => recoverability(context, input),
  }),
  costs: operation({
    summary: 'Show what is stored now, by storage class, and an estimate of its costs',
    description:
      'By list prices, without discounts, taxes, requests and keys. Lists the bucket: while `done` is false, repeat the call with `cursor`.',
    input: z.strictObject({ cursor: CursorText.nullable().default(null) }),
    bodyOptional: true,
    rateLimited: true,
    returns: 'What was listed so far.',
    output: Costs.extend({ cursor: CursorText.nullable() }),
    async run({ context, timeLeft }, _id, { cursor }) {
      const found = await storageCosts(context, {
        cursor: cursor === null ? null : (parseJson(z.json(), cursor, 'The cursor') as Json),
        timeLeft: () => timeLeft() - VERIFY_MARGIN_MS,
      });
      return { ...found, cursor: found.cursor === null ? null : JSON.stringify(found.cursor) };
    },
  }),
  calendar: operation({
    summary: 'Show what happened to the backups and drills of a target, by day',
    description: 'Up to a year. Days begin in the requested time zone.',
    input: CalendarInput,
    returns: 'The days on which something happened, oldest first.',
    output: Calendar,
    run: ({ context }, _id, input) => calendar(context, input),
  }),
} satisfies Record<CallName, object>;

/** A function for each operation, over any transport. */
export type OperationsClient = ClientOf<typeof OPERATIONS>;
