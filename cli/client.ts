import type { BackupDetails } from '../shared/catalog/summaries.ts';
import type { AcknowledgeInput } from '../shared/operations/acknowledge.ts';
import type { AttachInput } from '../shared/operations/attach.ts';
import type { Cancellation } from '../shared/operations/cancel-job.ts';
import type { Contents, ContentsInput } from '../shared/operations/contents.ts';
import type { Deletion } from '../shared/operations/delete-backup.ts';
import type { Download, DownloadInput } from '../shared/operations/download-backup.ts';
import type { Health } from '../shared/operations/health.ts';
import type { BackupList, ListBackupsInput } from '../shared/operations/list-backups.ts';
import type { JobList, ListJobsInput } from '../shared/operations/list-jobs.ts';
import type { ScheduleList, ScheduleView } from '../shared/operations/list-schedules.ts';
import type { Pruned, PruneInput } from '../shared/operations/prune.ts';
import type { RebuiltCatalog } from '../shared/operations/rebuild-catalog.ts';
import type {
  ChangeOptionsInput,
  RequestRestoreInput,
  RestoreBackupInput,
} from '../shared/operations/restore.ts';
import type { RetentionSetting, SetRetentionInput } from '../shared/operations/retention.ts';
import type { JobView } from '../shared/operations/show-job.ts';
import type { StartedJob } from '../shared/operations/start.ts';
import type { StartBackupInput, StartedBackup } from '../shared/operations/start-backup.ts';
import type { BackupChanges } from '../shared/operations/update-backup.ts';
import type {
  CompletedUpload,
  ListUploadInput,
  PresignedParts,
  PresignPartsInput,
  UploadStatus,
} from '../shared/operations/upload.ts';
import type { VerificationLeg } from '../shared/operations/verify-backup.ts';
import type { CreateScheduleInput, ScheduleChanges } from '../shared/schedules/schedule.ts';
import type { MultipartUpload } from '../shared/workflows/restore/request.ts';

/** Everything that an operator does, over whichever way: AWS credentials (`--direct`) or the HTTP API. */
export interface Client {
  /** What it talks to, for messages. */
  readonly where: string;
  startBackup(input: StartBackupInput): Promise<StartedBackup>;
  listBackups(input: ListBackupsInput): Promise<BackupList>;
  showBackup(id: string): Promise<BackupDetails>;
  listContents(id: string, input: ContentsInput): Promise<Contents>;
  downloadBackup(id: string, input: DownloadInput): Promise<Download>;
  updateBackup(id: string, changes: BackupChanges): Promise<BackupDetails>;
  acknowledgeWarnings(id: string, input: AcknowledgeInput): Promise<BackupDetails>;
  deleteBackup(id: string): Promise<Deletion>;
  /** One leg of a verification; call again with its cursor until it is done. */
  verifyBackup(
    id: string,
    leg: {
      cursor: VerificationLeg['cursor'];
      progress(done: number, total: number): void;
      signal: AbortSignal;
    },
  ): Promise<VerificationLeg>;
  restoreBackup(input: RestoreBackupInput): Promise<StartedJob>;
  /** Largest archive that may be uploaded, in bytes; undefined where nobody says. */
  uploadLimit(): Promise<number | undefined>;
  /** Prepares the restore of a file that is uploaded in parts. */
  requestUpload(input: RequestRestoreInput): Promise<MultipartUpload>;
  /** What S3 has of an upload, from the part after `after` on. */
  listUpload(jobId: string, input: ListUploadInput): Promise<UploadStatus>;
  presignParts(jobId: string, input: PresignPartsInput): Promise<PresignedParts>;
  /** Puts the parts together, which starts the restore. */
  completeUpload(jobId: string): Promise<CompletedUpload>;
  /** Attaches the relationships that a restore kept. */
  attachDeferred(jobId: string, input: AttachInput): Promise<StartedJob>;
  /** With `inspectedAt`, only if the restore was not inspected again since. */
  confirmRestore(jobId: string, phrase: string, inspectedAt?: string): Promise<void>;
  /** Inspects a restore that waits once more, with other options. */
  changeRestoreOptions(jobId: string, input: ChangeOptionsInput): Promise<void>;
  rejectRestore(jobId: string, reason?: string): Promise<void>;
  listJobs(input: ListJobsInput): Promise<JobList>;
  showJob(jobId: string): Promise<JobView>;
  cancelJob(jobId: string): Promise<Cancellation>;
  prune(input: PruneInput): Promise<Pruned>;
  showRetention(): Promise<RetentionSetting>;
  setRetention(input: SetRetentionInput): Promise<RetentionSetting>;
  /** Lets the policy of cdk.json count again; refused where the policy is not the one of that version any more. */
  resetRetention(version: string): Promise<RetentionSetting>;
  listSchedules(): Promise<ScheduleList>;
  showSchedule(name: string): Promise<ScheduleView>;
  createSchedule(input: CreateScheduleInput): Promise<ScheduleView>;
  changeSchedule(name: string, changes: ScheduleChanges): Promise<ScheduleView>;
  removeSchedule(name: string): Promise<{ name: string }>;
  runSchedule(name: string): Promise<StartedBackup>;
  /** Makes the catalog records that are missing, from the archives alone. With AWS credentials only. */
  rebuildCatalog(options: { signal: AbortSignal; progress(backupId: string): void }): Promise<RebuiltCatalog>;
  /** What the caller may do, in words. */
  permissions(): Promise<string>;
  health(): Promise<Health>;
  /** How far the service's clock is ahead of this machine's, in milliseconds, to a second or so. */
  clockOffsetMs(): Promise<number>;
}
