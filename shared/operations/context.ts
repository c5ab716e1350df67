import { SFNClient } from '@aws-sdk/client-sfn';
import { Bucket } from '../aws/bucket.ts';
import { awsClient } from '../aws/clients.ts';
import type { NgbakConfig } from '../core/config.ts';
import { type ScheduleGroup, Scheduler } from '../schedules/scheduler.ts';

/** What every operation works with: the bucket, which is the catalog, and Step Functions, which are the jobs. */
export interface OperationsContext {
  readonly bucket: Bucket;
  readonly sfn: SFNClient;
  readonly stateMachines: {
    /** ARN of the backup workflow. */
    readonly backup: string;
    /** ARN of the restore workflow. */
    readonly restore: string;
  };
  /** The schedules of the deployment; absent where nobody has said where they are. */
  readonly scheduler?: Scheduler;
  /** What the deployment backs up; absent where the caller has AWS credentials only. */
  readonly config?: NgbakConfig;
  /** Largest archive that may be uploaded, in bytes, for callers without the configuration; absent where unknown. */
  readonly uploadBytesMax?: number;
}

/** A context with clients made from the surroundings' credentials and endpoint. */
export function operationsContext(options: {
  bucket: string;
  stateMachines: OperationsContext['stateMachines'];
  schedules?: ScheduleGroup;
  config?: NgbakConfig;
  uploadBytesMax?: number;
}): OperationsContext {
  return {
    bucket: new Bucket(options.bucket),
    sfn: awsClient('states', SFNClient),
    stateMachines: options.stateMachines,
    ...(options.schedules === undefined
      ? {}
      : { scheduler: new Scheduler(options.schedules, options.stateMachines.backup) }),
    ...(options.config === undefined ? {} : { config: options.config }),
    ...(options.uploadBytesMax === undefined ? {} : { uploadBytesMax: options.uploadBytesMax }),
  };
}
