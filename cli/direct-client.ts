import { userInfo } from 'node:os';
import { HeadBucketCommand } from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { acknowledgeWarnings } from '../shared/operations/acknowledge.ts';
import { attachDeferred } from '../shared/operations/attach.ts';
import { cancelJob } from '../shared/operations/cancel-job.ts';
import { changeSchedule, createSchedule, removeSchedule } from '../shared/operations/change-schedules.ts';
import { listContents } from '../shared/operations/contents.ts';
import type { OperationsContext } from '../shared/operations/context.ts';
import { deleteBackup } from '../shared/operations/delete-backup.ts';
import { downloadBackup } from '../shared/operations/download-backup.ts';
import { checkHealth } from '../shared/operations/health.ts';
import { listBackups } from '../shared/operations/list-backups.ts';
import { listJobs } from '../shared/operations/list-jobs.ts';
import { listSchedules, showSchedule } from '../shared/operations/list-schedules.ts';
import { tellPermissions } from '../shared/operations/permissions.ts';
import { prune } from '../shared/operations/prune.ts';
import { rebuildCatalog } from '../shared/operations/rebuild-catalog.ts';
import {
  changeRestoreOptions,
  confirmRestore,
  rejectRestore,
  requestRestore,
  restoreBackup,
} from '../shared/operations/restore.ts';
import { resetRetention, setRetention, showRetention } from '../shared/operations/retention.ts';
import { runSchedule } from '../shared/operations/run-schedule.ts';
import { showBackup } from '../shared/operations/show-backup.ts';
import { showJob } from '../shared/operations/show-job.ts';
import { startBackup } from '../shared/operations/start-backup.ts';
import { updateBackup } from '../shared/operations/update-backup.ts';
import { completeRestoreUpload, listUpload, presignParts } from '../shared/operations/upload.ts';
import { verifyBackup } from '../shared/operations/verify-backup.ts';
import { MultipartUpload } from '../shared/workflows/restore/request.ts';
import type { Client } from './client.ts';

/** Does everything with AWS credentials alone: S3 and Step Functions. */
export function directClient(context: OperationsContext): Client {
  const by = { requestedBy: `cli:${userInfo().username}` };
  const { bucket } = context;
  return {
    where: `s3://${bucket.name}`,
    startBackup: (input) => startBackup(context, input, by),
    listBackups: (input) => listBackups(context, input),
    showBackup: (id) => showBackup(context, id),
    listContents: (id, input) => listContents(context, id, input),
    downloadBackup: (id, input) => downloadBackup(context, id, input),
    updateBackup: (id, changes) => updateBackup(context, id, changes),
    acknowledgeWarnings: (id, input) => acknowledgeWarnings(context, id, input, by),
    deleteBackup: (id) => deleteBackup(context, id),
    // A process at a terminal has all the time it needs: one leg.
    verifyBackup: (id, leg) =>
      verifyBackup(context, id, { ...leg, timeLeft: () => Number.POSITIVE_INFINITY }),
    restoreBackup: (input) => restoreBackup(context, input, by),
    uploadLimit: async () => context.uploadBytesMax,
    requestUpload: async (input) => MultipartUpload.parse(await requestRestore(context, input, by)),
    listUpload: (jobId, input) => listUpload(context, jobId, input),
    presignParts: (jobId, input) => presignParts(context, jobId, input),
    completeUpload: (jobId) => completeRestoreUpload(context, jobId),
    attachDeferred: (jobId, input) => attachDeferred(context, jobId, input, by),
    confirmRestore: (jobId, phrase, inspectedAt) => confirmRestore(context, jobId, phrase, inspectedAt),
    changeRestoreOptions: (jobId, input) => changeRestoreOptions(context, jobId, input),
    rejectRestore: (jobId, reason) => rejectRestore(context, jobId, reason),
    listJobs: (input) => listJobs(context, input),
    showJob: (jobId) => showJob(context, jobId),
    cancelJob: (jobId) => cancelJob(context, jobId, by),
    prune: (input) => prune(context, input),
    showRetention: () => showRetention(context),
    setRetention: (input) => setRetention(context, input, by),
    resetRetention: (version) => resetRetention(context, { version }),
    listSchedules: () => listSchedules(context),
    showSchedule: (name) => showSchedule(context, name),
    createSchedule: (input) => createSchedule(context, input, by),
    changeSchedule: (name, changes) => changeSchedule(context, name, changes),
    removeSchedule: (name) => removeSchedule(context, name),
    runSchedule: (name) => runSchedule(context, name, by),
    rebuildCatalog: (options) => rebuildCatalog(context, options),
    permissions: () => tellPermissions(context),
    health: () => checkHealth(context),
    async clockOffsetMs() {
      // Any answer of S3 has its time, also the refusal that a wrong clock leads to.
      const url = await getSignedUrl(bucket.s3, new HeadBucketCommand({ Bucket: bucket.name }));
      const { headers } = await fetch(url, { method: 'HEAD' });
      return Date.parse(headers.get('date') ?? '') - Date.now();
    },
  };
}
