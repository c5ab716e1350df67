import { z } from 'zod';
import { KeyPrefix } from '../../shared/aws/key-prefix.ts';
import { ObjectLock } from '../../shared/core/copies.ts';
import { BucketName, DeploymentConfig, readContext } from '../config.ts';

const AccountId = z.string().regex(/^[0-9]{12}$/, 'must be the 12 digits of an AWS account');

/** The path and name of a role, with `*` and `?` as wildcards: what follows `role/` in its ARN. */
const RolePattern = z
  .string()
  .regex(/^[\w+=,.@/*?-]{1,128}$/, 'must be the name of a role, with "*" for any characters')
  .refine((name) => /[^*?/]{3}/.test(name), 'must contain at least three characters that are not wildcards');

/** A principal of IAM, whose name may contain wildcards. */
const ReaderArn = z
  .string()
  .regex(
    /^arn:[a-z-]+:iam::[0-9]{12}:(root|(role|user)\/[\w+=,.@/*?-]{1,128})$/,
    'must be the ARN of a role, a user or the root of an account, such as "arn:aws:iam::111122223333:role/Admin"',
  )
  .refine(
    (arn) => arn.endsWith(':root') || /[^*?/]{3}/.test(arn.slice(arn.indexOf('/'))),
    'must name readers with at least three characters that are not wildcards, or be the root of their account',
  );

/** Everything that can be configured for a vault: the value of the context key `vault`. */
export const VaultConfig = z
  .strictObject({
    /** Name of the CloudFormation stack. */
    stackName: DeploymentConfig.shape.stackName.default('NgbakVault'),
    /** The deployment whose copies the vault holds. */
    source: z.strictObject({
      /** Its account. */
      account: AccountId,
      /** Name of its stack, from which the name of its role that copies backups is derived. */
      stackName: DeploymentConfig.shape.stackName,
      /** The name of that role, if it differs; `*` stands for any characters. */
      role: RolePattern.optional(),
    }),
    /** Name of the bucket. If omitted: CloudFormation chooses one. */
    bucketName: BucketName.optional(),
    /** Prefix of all keys, the same as in `copies` of the source. */
    prefix: KeyPrefix.optional(),
    /** Object Lock of every object, from the time at which it is written. */
    lock: ObjectLock,
    /** Days after which an object is deleted, even if it is the last one. If omitted: never. */
    keepDays: z.number().int().min(1).max(36_500).optional(),
    /** Who may assume the role that reads the vault. If empty: there is no such role. */
    readers: z.array(ReaderArn).max(20).default([]),
    /** An existing bucket for S3's server access logs, in the same region and account. */
    accessLogs: DeploymentConfig.shape.accessLogs,
    /** What happens to bucket and key when the stack is deleted. `destroy` is for tests. */
    removal: DeploymentConfig.shape.removal,
    /** Tags for every resource. */
    tags: DeploymentConfig.shape.tags,
  })
  .refine(({ keepDays, lock }) => keepDays === undefined || keepDays >= lock.days, {
    path: ['keepDays'],
    error: 'must not be less than the days of "lock", during which nothing can be deleted',
  });
export type VaultConfig = z.infer<typeof VaultConfig>;

/**
 * Validates the value of the context key `vault`: JSON text from the command line, or an object. Throws
 * InvalidInputError that names each invalid key, its value, and the allowed values.
 */
export function readVault(context: unknown): VaultConfig {
  return readContext(VaultConfig, context, {
    key: 'vault',
    remedy: "Correct these keys in -c vault='{…}'; docs/vault.md explains each one.",
  });
}
