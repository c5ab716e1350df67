import { Duration, Validations } from 'aws-cdk-lib';
import { type IKey, Key } from 'aws-cdk-lib/aws-kms';
import {
  Bucket,
  type CfnBucket,
  HttpMethods,
  type IBucket,
  type LifecycleRule,
  StorageClass,
} from 'aws-cdk-lib/aws-s3';
import { Construct } from 'constructs';
import {
  BACKUPS,
  CACHE,
  DEFERRED,
  JOBS,
  LOCKS,
  NOTIFICATIONS,
  RUNS,
  STAGING,
  UPLOADS,
} from '../shared/aws/keys.ts';
import { SELFTEST_PREFIX } from '../shared/core/selftest.ts';
import { MOVABLE_TAG } from '../shared/core/storage-class.ts';
import { ARCHIVE_SETTINGS, accessLogSettings } from './bucket-settings.ts';
import type { DeploymentConfig } from './config.ts';
import { removalPolicyOf } from './removal.ts';
import type { StepHandler } from './step-handler.ts';
import { acceptWildcard } from './wildcards.ts';

/** Retention of job records, in days: the same as that of execution histories in Step Functions. */
const JOB_DAYS = 90;
/** Time limit for uploading the parts of an archive, in days: `WAIT_SECONDS` in shared/workflows/restore/request.ts. */
const UPLOAD_DAYS = 7;
/** How long a deleted archive can still be restored, in days. */
const UNDELETE_DAYS = 30;

/** Where multipart uploads begin: their parts are billed before they are completed. */
export const UNFINISHED = [BACKUPS, DEFERRED, STAGING, UPLOADS].map((folder) => `${folder}*`);

/** What a function may do with the objects whose keys match these patterns, such as `staging/*` or `backups/*.json`. */
export interface BucketAccess {
  readonly read?: readonly string[];
  readonly write?: readonly string[];
  /** Includes every version of an object. */
  readonly delete?: readonly string[];
  /** Lists unfinished multipart uploads, and aborts them. */
  readonly abort?: readonly string[];
  /** Sets Object Lock on objects, if it is configured. */
  readonly lock?: readonly string[];
  /** Lists all versions of its objects, and the parts of unfinished uploads, to sum up what is stored. */
  readonly inventory?: true;
  /** Thaws archives that are in cold storage. */
  readonly thaw?: readonly string[];
  /** Sets the tag that lets lifecycle rules move archives, if transitions are configured. */
  readonly tag?: readonly string[];
}

export type ArchiveBucketProps = Pick<
  DeploymentConfig,
  'timeoutDays' | 'allowedOrigins' | 'accessLogs' | 'archiveBucket' | 'objectLock' | 'removal' | 'transitions'
>;

/**
 * The bucket for everything: archives, catalog, jobs, locks and temporary files. The settings of an existing bucket
 * are not changed: `ngbak deploy --check` compares them with the required ones.
 */
export class ArchiveBucket extends Construct {
  readonly bucket: Bucket | IBucket;
  /** Absent if an existing bucket is encrypted without a customer-managed key. */
  readonly key: IKey | undefined;
  /** The prefix of all keys: '', or a prefix that ends in `/`. */
  readonly prefix: string;
  /** Whether archives are locked. */
  readonly #locks: boolean;
  /** Whether archives move to other storage classes. */
  readonly #moves: boolean;
  /** The bucket, if this stack creates it. */
  readonly #own: Bucket | undefined;

  constructor(scope: Construct, id: string, props: ArchiveBucketProps) {
    super(scope, id);
    const { archiveBucket: existing } = props;
    this.#locks = props.objectLock !== undefined;
    this.#moves = props.transitions.length > 0;
    this.prefix = existing?.prefix === undefined ? '' : `${existing.prefix}/`;
    if (existing !== undefined) {
      this.key = existing.keyArn === undefined ? undefined : Key.fromKeyArn(this, 'Key', existing.keyArn);
      this.bucket = Bucket.fromBucketName(this, 'Bucket', existing.name);
      return;
    }
    this.key = new Key(this, 'Key', {
      description: 'Encrypts the archives of ngbak',
      enableKeyRotation: true,
      removalPolicy: removalPolicyOf(props),
    });
    this.#own = this.#create(this.key, props);
    this.bucket = this.#own;
  }

  /** The bucket with the prefix, in the form that functions and the CLI use. */
  get place(): string {
    return `${this.bucket.bucketName}/${this.prefix}`.replace(/\/$/, '');
  }

  /** The objects whose keys match these patterns, such as `staging/*`. */
  arnsOf(patterns: readonly string[]): string[] {
    return patterns.map((pattern) => this.bucket.arnForObjects(this.prefix + pattern));
  }

  /** The condition that a listing has one of these prefixes. */
  ofPrefixes(patterns: readonly string[]): Record<string, object> {
    return { StringLike: { 's3:prefix': patterns.map((pattern) => this.prefix + pattern) } };
  }

  /** The condition for listing names: none for a whole bucket, so that S3 answers 404 for objects that do not exist. */
  get listed(): Record<string, object> | undefined {
    return this.prefix === '' ? undefined : this.ofPrefixes(['*']);
  }

  #create(encryptionKey: IKey, props: ArchiveBucketProps): Bucket {
    const bucket = new Bucket(this, 'Bucket', {
      ...ARCHIVE_SETTINGS,
      encryptionKey,
      // Without a default retention, which would also lock job records and locks: the function that records backups
      // locks archives.
      ...(props.objectLock === undefined ? {} : { objectLockEnabled: true }),
      lifecycleRules: lifecycle(props),
      removalPolicy: removalPolicyOf(props),
      ...accessLogSettings(this, props.accessLogs),
    });
    if (props.allowedOrigins.length > 0) allowPages(bucket, props.allowedOrigins);
    // The property of the L2 construct would add a custom resource with a Lambda function.
    (bucket.node.defaultChild as CfnBucket).addPropertyOverride(
      'NotificationConfiguration.EventBridgeConfiguration.EventBridgeEnabled',
      true,
    );
    Validations.of(bucket).acknowledge(
      props.accessLogs === undefined
        ? {
            id: 'AwsSolutions-S1',
            reason:
              'Access is audited by CloudTrail data events where an organisation wants that; server access logs need a bucket of their own and are turned on by naming one (ngbak.accessLogs).',
          }
        : {
            id: 'Annotation::@aws-cdk/aws-s3:accessLogsPolicyNotAdded',
            reason:
              'The log bucket belongs to somebody else; docs/deploy.md shows what its policy has to allow.',
          },
    );
    return bucket;
  }

  /**
   * Allows web pages of these origins to upload and download with presigned URLs. An existing bucket needs its own
   * CORS rules.
   */
  allowPages(origins: readonly string[]): void {
    if (this.#own) allowPages(this.#own, origins);
  }

  /**
   * Grants a function the access to the bucket that it needs, by key pattern, and the use of its encryption key.
   * Reading includes listing the names in the bucket: without that permission S3 answers 403 instead of 404 for a
   * record that does not exist, and a condition on the prefix would deny exactly this case, since a GetObject request
   * has none. In a bucket that ngbak shares with others, their names must not be listed: there the S3 client looks up
   * missing objects below the prefix.
   */
  grant(handler: StepHandler, access: BucketAccess): void {
    const { read = [], write = [], delete: remove = [], abort = [], thaw = [] } = access;
    const lock = this.#locks ? (access.lock ?? []) : [];
    const tag = this.#moves ? (access.tag ?? []) : [];
    const objects = (patterns: readonly string[]) => this.arnsOf(patterns);
    const names = [this.bucket.bucketArn];
    if (read.length > 0) {
      handler.allow(['s3:GetObject', 's3:GetObjectVersion'], objects(read));
      handler.allow(['s3:ListBucket'], names, this.listed);
    }
    if (write.length > 0) {
      handler.allow(
        ['s3:PutObject', 's3:AbortMultipartUpload', 's3:ListMultipartUploadParts'],
        objects(write),
      );
    }
    if (abort.length > 0) {
      handler.allow(['s3:AbortMultipartUpload', 's3:ListMultipartUploadParts'], objects(abort));
      handler.allow(['s3:ListBucketMultipartUploads'], names);
    }
    if (remove.length > 0) {
      handler.allow(['s3:DeleteObject', 's3:DeleteObjectVersion'], objects(remove));
      if (!access.inventory) handler.allow(['s3:ListBucketVersions'], names, this.ofPrefixes(remove));
    }
    if (lock.length > 0) handler.allow(['s3:PutObjectRetention'], objects(lock));
    if (access.inventory) {
      handler.allow(['s3:ListBucketVersions'], names, this.ofPrefixes(['*']));
      handler.allow(['s3:ListBucketMultipartUploads'], names);
      handler.allow(['s3:ListMultipartUploadParts'], objects(UNFINISHED));
    }
    if (thaw.length > 0) handler.allow(['s3:RestoreObject'], objects(thaw));
    if (tag.length > 0) handler.allow(['s3:PutObjectTagging', 's3:PutObjectVersionTagging'], objects(tag));
    for (const arn of this.arnsOf([
      ...new Set([
        ...read,
        ...write,
        ...remove,
        ...abort,
        ...lock,
        ...tag,
        ...thaw,
        ...(access.inventory ? UNFINISHED : []),
      ]),
    ])) {
      acceptWildcard(handler, arn, 'All objects of one prefix of the bucket.');
    }
    // Completing a multipart upload decrypts its parts, so writers need both permissions.
    this.key?.grant(handler.function, 'kms:Decrypt', ...(write.length > 0 ? ['kms:GenerateDataKey'] : []));
  }
}

function allowPages(bucket: Bucket, origins: readonly string[]): void {
  bucket.addCorsRule({
    allowedOrigins: [...origins],
    allowedMethods: [HttpMethods.GET, HttpMethods.HEAD, HttpMethods.PUT, HttpMethods.POST],
    allowedHeaders: ['content-type', 'range', 'x-amz-checksum-sha256'],
    exposedHeaders: ['ETag', 'Content-Range', 'x-amz-version-id'],
    maxAge: 3600,
  });
}

/**
 * Rules for what was not removed otherwise. Workflows clean up after themselves, so these rules only matter after
 * crashes, and must not remove what a workflow may still need: staging, uploads and unfinished multipart uploads
 * outlive the longest workflow by a day.
 */
function lifecycle({
  timeoutDays,
  transitions,
}: Pick<ArchiveBucketProps, 'timeoutDays' | 'transitions'>): LifecycleRule[] {
  const afterLongestWorkflow = Duration.days(timeoutDays + 1);
  const oneDay = Duration.days(1);
  const unfinished = Duration.days(Math.max(timeoutDays, UPLOAD_DAYS) + 1);
  return [
    { id: 'staging', prefix: STAGING, expiration: afterLongestWorkflow, noncurrentVersionExpiration: oneDay },
    { id: 'uploads', prefix: UPLOADS, expiration: afterLongestWorkflow, noncurrentVersionExpiration: oneDay },
    { id: 'jobs', prefix: JOBS, expiration: Duration.days(JOB_DAYS), noncurrentVersionExpiration: oneDay },
    {
      id: 'deferred',
      prefix: DEFERRED,
      expiration: Duration.days(JOB_DAYS),
      noncurrentVersionExpiration: oneDay,
    },
    { id: 'runs', prefix: RUNS, expiration: Duration.days(JOB_DAYS), noncurrentVersionExpiration: oneDay },
    {
      id: 'notifications',
      prefix: NOTIFICATIONS,
      expiration: Duration.days(JOB_DAYS),
      noncurrentVersionExpiration: oneDay,
    },
    { id: 'cache', prefix: CACHE, expiration: afterLongestWorkflow, noncurrentVersionExpiration: oneDay },
    { id: 'selftest', prefix: SELFTEST_PREFIX, expiration: oneDay, noncurrentVersionExpiration: oneDay },
    { id: 'locks', prefix: LOCKS, noncurrentVersionExpiration: oneDay },
    { id: 'deleted-backups', prefix: BACKUPS, noncurrentVersionExpiration: Duration.days(UNDELETE_DAYS) },
    { id: 'unfinished-multipart-uploads', abortIncompleteMultipartUploadAfter: unfinished },
    ...(transitions.length === 0
      ? []
      : [
          {
            id: 'storage-classes',
            prefix: BACKUPS,
            // Only catalogued archives have this tag. A minimum size would also move large records.
            tagFilters: { [MOVABLE_TAG.key]: MOVABLE_TAG.value },
            transitions: transitions.map(({ days, storageClass }) => ({
              storageClass: new StorageClass(storageClass),
              transitionAfter: Duration.days(days),
            })),
          },
        ]),
  ];
}
