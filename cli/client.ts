import type { RebuiltCatalog } from '../shared/operations/rebuild-catalog.ts';
import type { FoundArchive, Recovered, RecoveryOptions, Selection } from '../shared/operations/recover.ts';
import type { RequestRestoreInput, RestoreBackupInput } from '../shared/operations/restore.ts';
import { StartedJob } from '../shared/operations/start.ts';
import type { VerificationLeg } from '../shared/operations/verify-backup.ts';
import { MultipartRequest } from '../shared/workflows/restore/request.ts';
import type { AnyOperations } from './answers.ts';

/** All operations of an operator, with AWS credentials (`--direct`) or through the HTTP API. */
export interface CliClient extends Omit<AnyOperations, 'restore' | 'verifyBackup' | 'diffBackups'> {
  /** The endpoint, for messages. */
  readonly where: string;
  /** One leg of a verification; repeat with its cursor until it is done. */
  verifyBackup(
    id: string,
    leg: {
      cursor: string | null;
      /** Name of a copy, instead of the original. */
      copy?: string | undefined;
      progress(done: number, total: number): void;
      signal: AbortSignal;
    },
  ): Promise<Omit<VerificationLeg, 'cursor'> & { cursor: string | null }>;
  /** One leg of a comparison of two backups; repeat with its cursor until it is done. */
  diffBackups(
    id: string,
    input: Parameters<AnyOperations['diffBackups']>[1],
    leg: { progress(done: number, total: number): void; signal: AbortSignal },
  ): ReturnType<AnyOperations['diffBackups']>;
  restoreBackup(input: RestoreBackupInput): Promise<StartedJob>;
  /** Largest archive that may be uploaded, in bytes; undefined if the deployment does not state it. */
  uploadLimit(): Promise<number | undefined>;
  /** Prepares the restore of a file that is uploaded in parts. */
  requestUpload(input: RequestRestoreInput): Promise<MultipartRequest>;
  /** Rebuilds missing catalog records from the archives alone. With AWS credentials only. */
  rebuildCatalog(options: { signal: AbortSignal; progress(backupId: string): void }): Promise<RebuiltCatalog>;
  /** Copies archives from another bucket, and adds them to the catalog. With AWS credentials only. */
  recover(
    found: readonly FoundArchive[],
    selection: Selection,
    options: RecoveryOptions & { readonly trustedKeys: readonly string[] },
  ): Promise<Recovered>;
  /** Description of the caller's permissions. */
  permissions(): Promise<string>;
  /** How far the service's clock is ahead of this machine's, in milliseconds, accurate to about a second. */
  clockOffsetMs(): Promise<number>;
}

/** The two request types of the operation for restores. */
export function restoresOf({
  restore,
}: Pick<AnyOperations, 'restore'>): Pick<CliClient, 'restoreBackup' | 'requestUpload'> {
  return {
    restoreBackup: async (input) => StartedJob.parse(await restore(input)),
    requestUpload: async (input) => MultipartRequest.parse(await restore(input)),
  };
}
