import {
  BlockPublicAccess,
  Bucket,
  BucketEncryption,
  type BucketProps,
  ObjectOwnership,
} from 'aws-cdk-lib/aws-s3';
import type { Construct } from 'constructs';
import type { DeploymentConfig } from './config.ts';

/** Settings of every bucket that holds archives: private, versioned, encrypted with a key of KMS, reached by TLS only. */
export const ARCHIVE_SETTINGS = {
  encryption: BucketEncryption.KMS,
  // One data key for many objects: fewer and cheaper calls to KMS.
  bucketKeyEnabled: true,
  enforceSSL: true,
  minimumTLSVersion: 1.2,
  blockPublicAccess: BlockPublicAccess.BLOCK_ALL,
  objectOwnership: ObjectOwnership.BUCKET_OWNER_ENFORCED,
  versioned: true,
} as const satisfies BucketProps;

/** The settings for server access logs in an existing bucket. None if none is configured. */
export function accessLogSettings(
  scope: Construct,
  accessLogs: DeploymentConfig['accessLogs'],
): Pick<BucketProps, 'serverAccessLogsBucket' | 'serverAccessLogsPrefix'> {
  if (accessLogs === undefined) return {};
  return {
    serverAccessLogsBucket: Bucket.fromBucketName(scope, 'AccessLogs', accessLogs.bucket),
    serverAccessLogsPrefix: accessLogs.prefix,
  };
}
