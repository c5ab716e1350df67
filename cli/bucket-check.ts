import {
  GetBucketCorsCommand,
  GetBucketEncryptionCommand,
  GetBucketLifecycleConfigurationCommand,
  GetBucketLocationCommand,
  GetBucketNotificationConfigurationCommand,
  GetBucketVersioningCommand,
  GetObjectLockConfigurationCommand,
  GetPublicAccessBlockCommand,
  HeadBucketCommand,
  ListObjectsV2Command,
  S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3';
import { awsClient } from '../shared/aws/clients.ts';
import { BACKUPS, JOBS, LOCKS, STAGING, UPLOADS } from '../shared/aws/keys.ts';
import { sendS3 } from '../shared/aws/send-s3.ts';
import { AccessDeniedError, InvalidInputError } from '../shared/core/errors.ts';
import { checkRules } from './bucket-rules.ts';

/** The required value of a bucket setting. */
type Check = (call: Call) => Promise<string | { warning: string }>;
type Call = { readonly s3: S3Client; readonly Bucket: string };

/** Error codes of S3 for a setting that a bucket does not have. */
const LOOK = {
  expected: [
    'NoSuchCORSConfiguration',
    'NoSuchLifecycleConfiguration',
    'NoSuchPublicAccessBlockConfiguration',
    'ObjectLockConfigurationNotFoundError',
    'ServerSideEncryptionConfigurationNotFoundError',
  ],
};

/**
 * Requirements of archives on an existing bucket, by name of the check. The stack cannot change the settings of a
 * bucket that it did not create; each check states the command with which the owner can. Read-only.
 */
export function bucketChecks(
  {
    name: Bucket,
    keyArn,
    prefix: folders,
  }: {
    readonly name: string;
    readonly keyArn?: string | undefined;
    readonly prefix?: string | undefined;
  },
  { pages, locks, moves }: { readonly pages: boolean; readonly locks: boolean; readonly moves: boolean },
): [name: string, look: () => Promise<string | { warning: string }>][] {
  const s3 = awsClient('s3', S3Client);
  const prefix = folders === undefined ? '' : `${folders}/`;
  const must = (holds: boolean, ok: string, problem: string, remedy: string): string => {
    if (holds) return ok;
    throw new InvalidInputError(`Bucket ${Bucket} ${problem}.`, { remedy });
  };
  const api = 'aws s3api';
  const checks: Record<string, Check> = {
    region: async ({ s3: client }) => {
      const { LocationConstraint } = await sendS3(
        client,
        'look at',
        new GetBucketLocationCommand({ Bucket }),
        LOOK,
      );
      const [of, here] = [LocationConstraint || 'us-east-1', await client.config.region()];
      return must(
        of === here,
        of,
        `is in ${of}, not in ${here}`,
        'Name a bucket of the region of the stack.',
      );
    },
    versions: async ({ s3: client }) => {
      const { Status = 'off' } = await sendS3(
        client,
        'look at',
        new GetBucketVersioningCommand({ Bucket }),
        LOOK,
      );
      const command = `${api} put-bucket-versioning --bucket ${Bucket} --versioning-configuration Status=Enabled`;
      return must(Status === 'Enabled', 'enabled', `keeps no versions (${Status})`, `Run: ${command}`);
    },
    events: async ({ s3: client }) => {
      const found = await sendS3(
        client,
        'look at',
        new GetBucketNotificationConfigurationCommand({ Bucket }),
        LOOK,
      );
      const on = found.EventBridgeConfiguration !== undefined;
      const why = 'sends no events to EventBridge, so uploads do not start restores';
      const remedy =
        'Add "EventBridgeConfiguration": {} to its notifications: put-bucket-notification-configuration replaces all of them.';
      return must(on, 'sent to EventBridge', why, remedy);
    },
    encryption: async ({ s3: client }) => {
      const found = await optional(
        sendS3(client, 'look at', new GetBucketEncryptionCommand({ Bucket }), LOOK),
      );
      const rule = found?.ServerSideEncryptionConfiguration?.Rules?.[0]?.ApplyServerSideEncryptionByDefault;
      const key = rule?.KMSMasterKeyID;
      if (rule?.SSEAlgorithm !== 'aws:kms' || key === undefined || key.endsWith('alias/aws/s3')) {
        const why = 'is not encrypted with a key of its own, although "keyArn" is configured';
        return must(
          keyArn === undefined,
          'S3 managed',
          why,
          'Set the key as its default encryption, or leave "keyArn" out.',
        );
      }
      const why = `is encrypted with ${key}`;
      const same = keyArn !== undefined && (key === keyArn || keyArn.endsWith(`/${key}`));
      return must(
        same,
        key,
        why,
        `Set "archiveBucket": {"name": "${Bucket}", "keyArn": …} to the ARN of that key.`,
      );
    },
    ...(locks
      ? {
          'Object Lock': async ({ s3: client }: Call) => {
            const found = await optional(
              sendS3(client, 'look at', new GetObjectLockConfigurationCommand({ Bucket }), LOOK),
            );
            const { ObjectLockEnabled, Rule } = found?.ObjectLockConfiguration ?? {};
            const none = 'Enable it: aws s3api put-object-lock-configuration.';
            must(
              ObjectLockEnabled === 'Enabled',
              '',
              'has no Object Lock, although "objectLock" is configured',
              none,
            );
            const remedy = 'Remove its default retention: ngbak locks archives and their records only.';
            return must(
              Rule === undefined,
              'enabled',
              'locks every object, job records and locks too',
              remedy,
            );
          },
        }
      : {}),
    'public access': async ({ s3: client }) => {
      const found = await optional(
        sendS3(client, 'look at', new GetPublicAccessBlockCommand({ Bucket }), LOOK),
      );
      const { BlockPublicAcls, BlockPublicPolicy, IgnorePublicAcls, RestrictPublicBuckets } =
        found?.PublicAccessBlockConfiguration ?? {};
      const blocked = BlockPublicAcls && BlockPublicPolicy && IgnorePublicAcls && RestrictPublicBuckets;
      return must(
        blocked === true,
        'blocked',
        'does not block public access',
        'Block all four kinds of public access.',
      );
    },
    lifecycle: async ({ s3: client }) => {
      const found = await optional(
        sendS3(client, 'look at', new GetBucketLifecycleConfigurationCommand({ Bucket }), LOOK),
      );
      return checkRules(Bucket, prefix, found?.Rules ?? [], moves);
    },
    contents: async ({ s3: client }) => {
      const { CommonPrefixes = [] } = await sendS3(
        client,
        'look at',
        new ListObjectsV2Command({ Bucket, Prefix: prefix, Delimiter: '/', MaxKeys: 1000 }),
        LOOK,
      );
      const taken = CommonPrefixes.map(({ Prefix = '' }) => Prefix.slice(prefix.length)).filter((folder) =>
        [BACKUPS, JOBS, LOCKS, STAGING, UPLOADS].includes(folder),
      );
      if (taken.length === 0) return 'none of the folders of ngbak';
      if (taken.includes(BACKUPS) && (await isCatalog(client, Bucket, prefix + BACKUPS)))
        return 'backups of ngbak';
      return {
        warning: `s3://${Bucket}/${prefix} already has ${taken.join(', ')}: ngbak removes what it does not know from ${STAGING} and ${UPLOADS}.`,
      };
    },
    ...(pages
      ? {
          'web pages': async ({ s3: client }: Call) => {
            const found = await optional(
              sendS3(client, 'look at', new GetBucketCorsCommand({ Bucket }), LOOK),
            );
            const methods = new Set(
              (found?.CORSRules ?? []).flatMap(({ AllowedMethods = [] }) => AllowedMethods),
            );
            if (['GET', 'PUT', 'POST'].every((method) => methods.has(method))) return 'allowed';
            return {
              warning: `Bucket ${Bucket} does not let web pages upload and download (CORS): the dashboard cannot. See "An existing bucket" in docs/deploy.md.`,
            };
          },
        }
      : {}),
  };
  return Object.entries(checks).map(([check, look]) => [`bucket: ${check}`, () => look({ s3, Bucket })]);
}

/** The setting of a bucket, as a check compares it. */
type Look = () => Promise<string | { warning: string }>;

/**
 * Requirements of a copy on its bucket, by name of the check. A bucket of another account often permits nothing but
 * adding objects: what may not be read is a warning. Read-only.
 */
export function copyChecks(
  copy: string,
  {
    bucket: Bucket,
    region,
    account,
    lock,
  }: {
    readonly bucket: string;
    readonly region?: string | undefined;
    readonly account?: string | undefined;
    readonly lock?: { readonly days: number } | undefined;
  },
): [name: string, look: Look][] {
  const s3 = awsClient('s3', S3Client, region === undefined ? {} : { region });
  const named = { Bucket, ...(account === undefined ? {} : { ExpectedBucketOwner: account }) };
  const readable =
    (look: Look): Look =>
    async () => {
      try {
        return await look();
      } catch (error) {
        if (!(error instanceof AccessDeniedError)) throw error;
        return {
          warning: `${error.message} These credentials may not read the settings of ${Bucket}: ask its owner.`,
        };
      }
    };
  const checks: Record<string, Look> = {
    region: async () => {
      const found = await headBucket(s3, named);
      const wanted = region ?? (await s3.config.region());
      if (found === wanted) return found;
      throw new InvalidInputError(`Bucket ${Bucket} is in ${found}, not in ${wanted}.`, {
        remedy: `Set "region": "${found}" for the copy "${copy}".`,
      });
    },
    versions: async () => {
      const { Status = 'off' } = await sendS3(s3, 'look at', new GetBucketVersioningCommand(named), LOOK);
      if (Status === 'Enabled') return 'enabled';
      throw new InvalidInputError(`Bucket ${Bucket} keeps no versions (${Status}).`, {
        remedy: `Run: aws s3api put-bucket-versioning --bucket ${Bucket} --versioning-configuration Status=Enabled`,
      });
    },
    ...(lock === undefined
      ? {}
      : {
          'Object Lock': async () => {
            const look = new GetObjectLockConfigurationCommand(named);
            const found = await optional(sendS3(s3, 'look at', look, LOOK));
            if (found?.ObjectLockConfiguration?.ObjectLockEnabled === 'Enabled') return 'enabled';
            throw new InvalidInputError(
              `Bucket ${Bucket} has no Object Lock, although "lock" is configured.`,
              {
                remedy: 'Enable it: aws s3api put-object-lock-configuration; or leave "lock" out.',
              },
            );
          },
        }),
  };
  return Object.entries(checks).map(([check, look]) => [`copy ${copy}: ${check}`, readable(look)]);
}

/** The region of a bucket, which S3 states in every answer. Throws InvalidInputError if it does not exist. */
async function headBucket(
  s3: S3Client,
  named: { readonly Bucket: string; readonly ExpectedBucketOwner?: string },
): Promise<string> {
  const expected = ['NotFound', 'PermanentRedirect', 301];
  try {
    const { BucketRegion } = await sendS3(s3, 'look at', new HeadBucketCommand(named), { expected });
    return BucketRegion ?? (await s3.config.region());
  } catch (error) {
    if (!(error instanceof S3ServiceException)) throw error;
    const { headers } = (error.$response ?? {}) as { headers?: Record<string, string> };
    const region = headers?.['x-amz-bucket-region'];
    if (error.name !== 'NotFound' && region !== undefined) return region;
    throw new InvalidInputError(`There is no bucket ${named.Bucket}.`, {
      remedy: 'Create it, or correct its name under "copies" in cdk.json.',
      cause: error,
    });
  }
}

async function isCatalog(s3: S3Client, Bucket: string, Prefix: string): Promise<boolean> {
  const { Contents = [] } = await sendS3(
    s3,
    'look at',
    new ListObjectsV2Command({ Bucket, Prefix, MaxKeys: 100 }),
    LOOK,
  );
  return Contents.every(({ Key = '' }) => /\.(ngbak|json|sig)$/.test(Key));
}

/** A setting, or undefined if the bucket does not have it. */
async function optional<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof S3ServiceException && LOOK.expected.includes(error.name)) return undefined;
    throw error;
  }
}
