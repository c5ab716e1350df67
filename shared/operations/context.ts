import { SFNClient } from '@aws-sdk/client-sfn';
import { Bucket } from '../aws/bucket.ts';
import { awsClient } from '../aws/clients.ts';
import { type SignatureKeys, signatureKeys } from '../catalog/signature.ts';
import type { NgbakConfig } from '../core/config.ts';
import { type ScheduleGroup, Scheduler } from '../schedules/scheduler.ts';

/** What every operation uses: the bucket, which contains the catalog, and Step Functions, which runs the jobs. */
export interface OperationsContext {
  readonly bucket: Bucket;
  readonly sfn: SFNClient;
  readonly stateMachines: {
    /** ARN of the backup workflow. */
    readonly backup: string;
    /** ARN of the restore workflow. */
    readonly restore: string;
  };
  /** The schedules of the deployment. Absent if their location is not known. */
  readonly scheduler?: Scheduler;
  /** The configuration of the deployment. Absent if the caller has AWS credentials only. */
  readonly config?: NgbakConfig;
  /** Maximum size of an upload in bytes, for callers without the configuration. Absent if unknown. */
  readonly uploadBytesMax?: number;
  /** The keys whose signatures are valid. Absent if the deployment does not use signatures. */
  readonly signatureKeys?: SignatureKeys;
}

/** A context with clients that use the credentials and the endpoint of the environment. */
export function operationsContext(options: {
  bucket: string;
  stateMachines: OperationsContext['stateMachines'];
  schedules?: ScheduleGroup;
  config?: NgbakConfig;
  uploadBytesMax?: number;
  signingKeyArn?: string | undefined;
}): OperationsContext {
  return {
    bucket: new Bucket(options.bucket),
    sfn: awsClient('states', SFNClient),
    stateMachines: options.stateMachines,
    ...(options.schedules === undefined
      ? {}
      : { scheduler: new Scheduler(options.schedules, options.stateMachines) }),
    ...(options.config === undefined ? {} : { config: options.config }),
    ...(options.uploadBytesMax === undefined ? {} : { uploadBytesMax: options.uploadBytesMax }),
    ...(options.signingKeyArn === undefined
      ? {}
      : { signatureKeys: signatureKeys(options.config, options.signingKeyArn) }),
  };
}
