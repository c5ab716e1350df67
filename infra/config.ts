import { z } from 'zod';
import { parsePublicKey } from '../shared/archive/format/signature.ts';
import { KeyPrefix } from '../shared/aws/key-prefix.ts';
import { HooksConfig, NgbakConfig, Signatures, StoreConfig, TargetConfig } from '../shared/core/config.ts';
import { CopyConfig, copyPlace, ObjectLock } from '../shared/core/copies.ts';
import { InvalidInputError } from '../shared/core/errors.ts';
import { placeOf } from '../shared/core/files-location.ts';
import { HELP } from '../shared/core/help.ts';
import { Id } from '../shared/core/ids.ts';
import { parseInput, parseJson } from '../shared/core/input.ts';
import { WEBHOOK_KINDS } from '../shared/core/notify-config.ts';
import { SELFTEST_TARGET } from '../shared/core/selftest.ts';
import { ReadableClass, Transition, transitionProblems } from '../shared/core/storage-class.ts';
import { byServedStore } from '../shared/core/store-name.ts';
import { type ServedStore, valuesByStore } from '../shared/core/store-names.ts';
import { resolveStore } from '../shared/profiles/open.ts';
import { parseExpression, ScheduleExpression } from '../shared/schedules/expression.ts';
import { TimeZone } from '../shared/schedules/time-zone.ts';
import { FACTS } from '../shared/stores/known-facts.ts';
import { DATA_MB } from './functions.ts';

/** Retention periods that CloudWatch Logs supports, in days: the allowed values of its PutRetentionPolicy call. */
const LOG_RETENTION_DAYS = [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 3653];

/** Each copy multiplies the cost of storage. */
const COPIES_MAX = 5;

const KeyArn = z.string().regex(/^arn:[^:]+:kms:[^:]+:[0-9]{12}:key\/.+$/, 'must be the ARN of a KMS key');

/** Name of a bucket. */
export const BucketName = z.string().regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, 'must be a bucket name');

const DatabaseUserArn = z
  .string()
  .regex(
    /^arn:[^:*]+:rds-db:[a-z0-9-]+:[0-9]{12}:dbuser:[A-Za-z0-9-]+\/[^\s*?/]+$/,
    'must be like arn:aws:rds-db:REGION:ACCOUNT:dbuser:RESOURCE_ID/USER, without wildcards',
  );

/** A store as an administrator configures it: without `secret`, the stack creates one to be filled in. */
const DeployedStore = StoreConfig.extend({
  /** Name or ARN of an existing Secrets Manager secret. */
  secret: z.string().min(1).optional(),
  /** Buckets with the store's files, for stores in S3. The functions that access the store get access to them. */
  buckets: z.array(BucketName).min(1).max(10).optional(),
  /**
   * ARNs of database users with IAM authentication, for PostgreSQL in RDS. The functions that access the store may
   * connect as these users.
   */
  databaseUsers: z.array(DatabaseUserArn).min(1).max(10).optional(),
});
export type DeployedStore = z.infer<typeof DeployedStore>;

const DeployedTarget = TargetConfig.extend({
  stores: byServedStore(DeployedStore),
  hooks: HooksConfig.optional(),
});
export type DeployedTarget = z.infer<typeof DeployedTarget>;

const Schedule = z.strictObject({
  enabled: z.boolean().default(true),
  /** Time of day, 24 hours. */
  time: z
    .string()
    .regex(/^([01][0-9]|2[0-3]):[0-5][0-9]$/, 'must be a time of day such as "03:00"')
    .default('03:00'),
  /** `rules`: EventBridge rules, for regions without Scheduler. In UTC, and changed by deployments only. */
  service: z.enum(['scheduler', 'rules']).default('scheduler'),
  /** Name in the IANA time zone database. */
  timeZone: TimeZone.default('UTC'),
});

/** Regular drills of every target. */
const Drills = z.strictObject({
  /** `cron(0 4 ? * SUN *)` or `rate(7 days)`. */
  expression: ScheduleExpression.refine(isRepeated, {
    error: 'must be cron(…) with future runs, such as "cron(0 4 ? * SUN *)", or rate(…)',
  }),
  /** Name in the IANA time zone database. */
  timeZone: TimeZone.default('UTC'),
});

function isRepeated(expression: string): boolean {
  try {
    const timing = parseExpression(expression, 'UTC');
    return timing.kind === 'rate' || (timing.kind === 'cron' && timing.next(2, new Date()).length === 2);
  } catch (error) {
    if (error instanceof InvalidInputError) return false;
    throw error;
  }
}

const TopicArn = z.string().regex(/^arn:[^:]+:sns:[^:]+:[0-9]{12}:.+$/, 'must be the ARN of an SNS topic');

const Alarms = z.strictObject({
  enabled: z.boolean().default(true),
  /**
   * Maximum age of the newest good backup of a target, in hours, for the alarm, health and the dashboard. If omitted:
   * derived from the schedules of the target.
   */
  backupAgeHours: z.number().int().min(1).optional(),
  /**
   * ARNs of SNS topics to which CloudWatch itself publishes every alarm, in its own format, for services that parse it.
   * Receivers of `notify` get alarms without this.
   */
  topicArns: z.array(TopicArn).max(5).default([]),
});

const Notify = z
  .strictObject({
    /** Each gets an e-mail from AWS with a link that confirms its subscription. */
    emails: z.array(z.email('must be an e-mail address')).max(20).default([]),
    /** SNS topics of others, in any region; with the ARN of the key of an encrypted one. */
    topics: z
      .array(
        z.union([
          TopicArn,
          z.strictObject({
            arn: TopicArn,
            keyArn: KeyArn.optional(),
          }),
        ]),
      )
      .max(10)
      .default([]),
    webhooks: z
      .record(
        Id,
        z.strictObject({
          kind: z.enum(WEBHOOK_KINDS),
          /** Name or ARN of an existing secret with its address. If omitted: the stack creates one to be filled in. */
          secret: z.string().min(1).optional(),
          /** Allows http and addresses of the machine itself, for the local stack. */
          allowHttp: z.boolean().default(false),
        }),
      )
      .refine((webhooks) => Object.keys(webhooks).length <= 10, 'must hold at most 10 webhooks')
      .default({}),
  })
  .refine(
    ({ emails, topics, webhooks }) => emails.length + topics.length + Object.keys(webhooks).length > 0,
    'must have a receiver: "emails", "topics" or "webhooks"',
  );
export type Notify = z.infer<typeof Notify>;

const Network = z.strictObject({
  vpcId: z.string().regex(/^vpc-[0-9a-f]{8,17}$/, 'must be a VPC id such as "vpc-0a1b2c3d"'),
  /** Private subnets, in at least two availability zones, with routes to AWS's services and to the stores. */
  subnetIds: z.array(z.string().regex(/^subnet-[0-9a-f]{8,17}$/, 'must be a subnet id')).min(1),
  securityGroupIds: z.array(z.string().regex(/^sg-[0-9a-f]{8,17}$/, 'must be a security group id')).min(1),
  /** Allows IPv6 in addition to IPv4, if all of the subnets support it. */
  ipv6: z.boolean().default(false),
  /** Uses the dual-stack endpoints of AWS, which support IPv6 as well. */
  dualStackEndpoints: z.boolean().default(false),
});
export type Network = z.infer<typeof Network>;

const Api = z.strictObject({
  /** Without the API, `ngbak` works with AWS credentials (`--direct`), and there is no dashboard. */
  enabled: z.boolean().default(true),
  /** Name or ARN of an existing secret with the access list, such as that of a deleted stack. */
  secret: z.string().min(1).optional(),
  /**
   * Concurrent executions reserved for the API, which are also its limit: a flood of requests to its public endpoint
   * cannot use more of the account's. Requires an account with more than 10 concurrent executions.
   */
  reservedConcurrency: z.number().int().min(1).max(1000).optional(),
});

const FileSystem = z.strictObject({
  fileSystemId: z.string().regex(/^fs-[0-9a-f]{8,40}$/, 'must be an EFS file system id'),
  accessPointArn: z
    .string()
    .regex(/^arn:.+:access-point\/fsap-[0-9a-f]{17}$/, 'must be the ARN of an EFS access point'),
  /** Where the functions mount it; `location` in a store's secret is a folder below. */
  mountPath: z
    .string()
    .regex(/^\/mnt\/[A-Za-z0-9_.-]+$/, 'must be one folder below /mnt, such as "/mnt/graphrag"'),
});

/** Another bucket that gets a copy of each backup. The stack does not create it. */
const Copy = z
  .strictObject({
    bucket: BucketName,
    /** Prefix of all keys. Deployments that share a bucket need different ones. */
    prefix: KeyPrefix.optional(),
    /** If omitted: the region of the stack. */
    region: z
      .string()
      .regex(/^[a-z]{2,3}(-[a-z]+)+-[0-9]$/, 'must be a region such as "eu-west-1"')
      .optional(),
    /** The account that must own the bucket. */
    account: z
      .string()
      .regex(/^[0-9]{12}$/, 'must be the 12 digits of an account')
      .optional(),
    /** The KMS key that encrypts the bucket. */
    keyArn: KeyArn.optional(),
    storageClass: CopyConfig.shape.storage_class,
    keepDays: CopyConfig.shape.keep_days,
    lock: ObjectLock.optional(),
    targets: CopyConfig.shape.targets,
    /** The role that is assumed for reading copies: a vault lets the stack add objects only. */
    readRoleArn: z
      .string()
      .regex(/^arn:[^:]+:iam::[0-9]{12}:role\/.+$/, 'must be the ARN of a role')
      .optional(),
  })
  .refine(({ keepDays, lock }) => keepDays === undefined || lock === undefined || keepDays >= lock.days, {
    path: ['keepDays'],
    error: 'must not be less than "lock.days": S3 cannot delete a locked copy',
  });
export type Copy = z.infer<typeof Copy>;

/** Everything that can be configured: the key `ngbak` of the context, in cdk.json or as `-c ngbak='{…}'`. */
export const DeploymentConfig = z.strictObject({
  /** Name of the CloudFormation stack, and prefix of the names of functions and state machines. */
  stackName: z
    .string()
    .regex(/^[A-Za-z][A-Za-z0-9-]{0,39}$/, 'must be 1 to 40 letters, digits or "-", with a letter first')
    .default('Ngbak'),
  /** The knowledge bases. The outputs of the stack name the secrets of `default`, or else of the first one. */
  targets: z
    .record(Id, DeployedTarget)
    .refine((targets) => Object.keys(targets).length > 0, 'must hold at least one target')
    .refine(
      (targets) => !Object.hasOwn(targets, SELFTEST_TARGET),
      `must not have a target "${SELFTEST_TARGET}", which is the built-in one of \`ngbak selftest\``,
    ),
  /** The daily backup of every target. */
  schedule: Schedule.default(Schedule.parse({})),
  /** Regular drills of every target. If omitted: none, except those of schedules that are created later. */
  drills: Drills.optional(),
  /** Settings of the CloudWatch alarms. */
  alarms: Alarms.prefault({}),
  /** Who is notified of events, and of alarms. */
  notify: Notify.optional(),
  /** How many backups of each target are kept. */
  retention: NgbakConfig.shape.retention,
  /** Largest archive that may be uploaded for a restore, in bytes; by default, the maximum object size of S3. */
  uploadBytesMax: NgbakConfig.shape.upload_bytes_max,
  /** Network of the functions that access the stores. If omitted: outside of any VPC, with access to the internet. */
  network: Network.optional(),
  /** The HTTP API and its dashboard. */
  api: Api.prefault({}),
  /** Processor of the functions: `x86_64` for regions without `arm64`. */
  architecture: z.enum(['arm64', 'x86_64']).default('arm64'),
  /** Major version of the Node.js runtime: 22 for regions that do not support 24 yet. */
  nodeVersion: z.union([z.literal(22), z.literal(24)]).default(24),
  /** A file system for stores that are files in a folder. Lambda mounts only one, and only within a network. */
  fileSystem: FileSystem.optional(),
  /** Shards of one store that are exported at the same time. Each uses one connection to the store's server. */
  exportersPerStore: z.number().int().min(1).max(40).default(4),
  /**
   * Memory of the functions that move data (exporters, importers, inspection, verification), in MB. The limit of a
   * new AWS account is 3,008; more memory includes more CPU.
   */
  exporterMemoryMb: z.number().int().min(1024).max(10_240).default(DATA_MB),
  /**
   * Concurrent executions reserved for each exporter function, which are also its limit. None by default: a new AWS
   * account has 10 in total, which must stay unreserved, and `exportersPerStore` limits the load on a server.
   */
  reservedConcurrency: z.number().int().min(1).max(1000).optional(),
  /** Days after which a running workflow is stopped. Standard workflows may run for a year. */
  timeoutDays: z.number().int().min(1).max(365).default(7),
  /** Hours that a restore waits for its confirmation. Uploads expire after a day. */
  confirmationHours: z.number().int().min(1).max(24).default(24),
  /** Ends legs earlier than the platform requires, in seconds, for tests of data that spans legs. */
  legSeconds: z.number().min(1).max(840).optional(),
  /** Shortens the lease of a step, in seconds, for tests that kill steps. */
  leaseSeconds: z.number().min(1).max(10).optional(),
  /** Shortens the interval at which a job looks for its thawed archive, in seconds, for tests. */
  thawPollSeconds: z.int().min(1).max(600).optional(),
  logRetentionDays: z
    .number()
    .refine((days) => LOG_RETENTION_DAYS.includes(days), `must be one of ${LOG_RETENTION_DAYS.join(', ')}`)
    .default(90),
  /** A CloudWatch dashboard. The first three in an account are free. */
  metricsDashboard: z.boolean().default(true),
  /** Origins of web pages that may upload to and download from the bucket by presigned URLs. */
  allowedOrigins: z.array(z.url({ protocol: /^https?$/ })).default([]),
  /**
   * An existing bucket for all data of ngbak, in the same region and account, and its key if it is encrypted with a
   * customer-managed one. If omitted: the stack creates both.
   */
  archiveBucket: z
    .strictObject({
      name: BucketName,
      /** Prefix of all keys of ngbak, if the bucket is shared with other applications or deployments. */
      prefix: KeyPrefix.optional(),
      keyArn: KeyArn.optional(),
    })
    .optional(),
  /**
   * Object Lock for archives and their records, in days from the start of each backup. A bucket of the stack
   * must have been created with it.
   */
  objectLock: ObjectLock.optional(),
  /** Storage class in which archives are created. Their records are always in STANDARD. */
  storageClass: ReadableClass.default('STANDARD'),
  /** Classes that archives move to later, in days from their creation. */
  transitions: z.array(Transition).max(5).default([]),
  /**
   * Signatures of archives with a KMS key that the stack creates. If omitted: archives are not signed, and signatures
   * are not checked.
   */
  signatures: z
    .strictObject({
      /** Restores, drills included, refuse archives without a valid signature. */
      required: z.boolean().default(false),
      /** Public keys in PEM of other deployments and of former keys. */
      trustedKeys: Signatures.shape.trusted_keys,
    })
    .optional(),
  /** Regular verification of what is stored. If omitted: none. */
  verification: z
    .strictObject({
      /** Archives and copies that are verified each day: those whose verification is oldest. */
      perDay: z.number().int().min(1).max(24).default(1),
    })
    .optional(),
  /** Other buckets that get a copy of each backup, by name. */
  copies: z
    .record(Id, Copy)
    .refine((copies) => Object.keys(copies).length <= COPIES_MAX, `must hold at most ${COPIES_MAX} copies`)
    .default({}),
  /** An existing bucket for S3's server access logs, in the same region and account. */
  accessLogs: z.strictObject({ bucket: BucketName, prefix: z.string().default('ngbak/') }).optional(),
  /** What happens to bucket, key and secrets when the stack is deleted. `destroy` is for tests. */
  removal: z.enum(['retain', 'destroy']).default('retain'),
  /** Tags for every resource. */
  tags: z.record(z.string().min(1).max(128), z.string().max(256)).default({}),
});
export type DeploymentConfig = z.infer<typeof DeploymentConfig>;

/**
 * Validates the value of the context key `ngbak`: an object from cdk.json, or JSON text from the command line. Throws
 * InvalidInputError that names each invalid key, its value, and the allowed values.
 */
export function readDeployment(context: unknown): DeploymentConfig {
  const where = 'The context key "ngbak"';
  if (context === undefined) {
    throw new InvalidInputError(`${where} is missing.`, {
      remedy:
        'Add it to "context" in cdk.json, or give -c ngbak=\'{"targets": …}\'; docs/deploy.md shows all keys.',
      help: HELP.configuration,
    });
  }
  const deployment = readContext(DeploymentConfig, context, {
    key: 'ngbak',
    remedy: 'Correct these keys in cdk.json (or in -c ngbak=…); docs/deploy.md explains each one.',
  });
  const { network, fileSystem } = deployment;
  if (fileSystem && !network) {
    throw new InvalidInputError(
      'ngbak.fileSystem needs ngbak.network: Lambda mounts EFS within a VPC only.',
      {
        remedy: 'Add "network" with subnets that have a mount target of the file system.',
        help: HELP.configuration,
      },
    );
  }
  for (const [name, { configuration_folder: folder }] of Object.entries(deployment.targets)) {
    if (folder === undefined || placeOf(folder.location).bucket !== undefined) continue;
    if (fileSystem && `${folder.location}/`.startsWith(`${fileSystem.mountPath}/`)) continue;
    throw new InvalidInputError(
      `ngbak.targets.${name}.configuration_folder is a folder that the functions do not have: ${folder.location}.`,
      {
        remedy: `Name s3://bucket/prefix, or a folder of "fileSystem"${fileSystem ? `, below ${fileSystem.mountPath}` : ', which is not configured'}.`,
        help: HELP.configuration,
      },
    );
  }
  const [wrong] = transitionProblems(deployment.storageClass, deployment.transitions);
  if (wrong) {
    throw new InvalidInputError(`ngbak.transitions.${wrong.index} is not possible: ${wrong.problem}.`, {
      remedy: 'Correct "transitions" in cdk.json; docs/storage-classes.md shows what S3 allows.',
      help: HELP.configuration,
    });
  }
  if (deployment.archiveBucket && deployment.accessLogs) {
    throw new InvalidInputError('ngbak.accessLogs is for the bucket of the stack, not for "archiveBucket".', {
      remedy: 'Configure the access logs of the existing bucket where it was created.',
    });
  }
  const { service, timeZone } = deployment.schedule;
  if (service === 'rules' && timeZone !== 'UTC') {
    throw new InvalidInputError('ngbak.schedule.service "rules" needs "timeZone": "UTC".', {
      remedy: 'Rules of EventBridge know no other zone: give the time of day in UTC, or use "scheduler".',
      help: HELP.configuration,
    });
  }
  if (service === 'rules' && deployment.drills) {
    throw new InvalidInputError('ngbak.drills needs EventBridge Scheduler, not "service": "rules".', {
      remedy: 'Remove "drills", and start drills with `ngbak drill` from a scheduler of your own.',
      help: HELP.configuration,
    });
  }
  for (const [index, pem] of (deployment.signatures?.trustedKeys ?? []).entries()) {
    parsePublicKey(pem, `ngbak.signatures.trustedKeys.${index}`);
  }
  checkStores(deployment);
  checkCopies(deployment);
  return deployment;
}

/**
 * Validates the value of a context key: an object from cdk.json, or JSON text from the command line. Throws
 * InvalidInputError that names each invalid key, its value, and the allowed values.
 */
export function readContext<T>(
  schema: z.ZodType<T>,
  context: unknown,
  { key, remedy }: { readonly key: string; readonly remedy: string },
): T {
  const where = `The context key "${key}"`;
  const value = typeof context === 'string' ? parseJson(z.unknown(), context, where) : context;
  const checked = schema.safeParse(value, { reportInput: true });
  if (checked.success) return checked.data;
  const problems = checked.error.issues.map(
    (issue) => `${[key, ...issue.path].join('.')}: ${issue.message}${received(issue.input)}`,
  );
  throw new InvalidInputError(`${where} is not valid:\n  ${problems.join('\n  ')}\n`, {
    remedy,
    help: HELP.configuration,
  });
}

/** Reports copies that could never be made, or would overwrite each other. */
function checkCopies({ copies, targets, archiveBucket }: DeploymentConfig): void {
  const places = new Map<string, string>();
  for (const [name, copy] of Object.entries(copies)) {
    const where = `ngbak.copies.${name}`;
    const unknown = copy.targets?.find((target) => !Object.hasOwn(targets, target));
    if (unknown !== undefined) {
      throw new InvalidInputError(`${where}.targets names "${unknown}", which is not a target.`, {
        remedy: `Use targets of this deployment: ${Object.keys(targets).join(', ')}.`,
        help: HELP.configuration,
      });
    }
    const place = copyPlace(copy);
    const other = copy.bucket === archiveBucket?.name ? '"archiveBucket"' : places.get(place);
    if (other !== undefined) {
      throw new InvalidInputError(`${where} has the same bucket as ${other}.`, {
        remedy: 'Use another bucket: a copy in the same place protects against nothing.',
        help: HELP.configuration,
      });
    }
    places.set(place, `copy "${name}"`);
  }
}

/** Reports an invalid kind, profile or scope now instead of in the first backup at night. */
function checkStores(deployment: DeploymentConfig): void {
  const config = runtimeConfig(deployment, () => 'not asked for');
  for (const [target, { stores }] of Object.entries(deployment.targets)) {
    for (const [store, { kind, databaseUsers }] of valuesByStore(stores)) {
      resolveStore(config, target, store);
      const kinds = FACTS.flatMap((facts) => (facts.hasDatabaseUsers ? [`"${facts.kind}"`] : []));
      if (databaseUsers === undefined || kinds.includes(`"${kind}"`)) continue;
      throw new InvalidInputError(
        `ngbak.targets.${target}.stores.${store}.databaseUsers is for stores of the kind ${kinds.join(', ')}, not "${kind}".`,
        { remedy: 'Remove it, or correct "kind".', help: HELP.configuration },
      );
    }
  }
}

/**
 * The configuration of the functions, as the text of `NGBAK_CONFIG`.
 *
 * @param secretOf  returns the ARN of a store's secret
 */
export function runtimeConfig(
  deployment: DeploymentConfig,
  secretOf: (target: string, store: ServedStore) => string,
): NgbakConfig {
  const { notify, stackName, schedule } = deployment;
  const targets = Object.entries(deployment.targets).map(([name, target]) => {
    const stores = valuesByStore(target.stores).map(
      ([store, { buckets: _buckets, databaseUsers: _users, ...settings }]) => [
        store,
        { ...settings, secret: secretOf(name, store) },
      ],
    );
    return [name, { ...target, stores: Object.fromEntries(stores) }];
  });
  return parseInput(
    NgbakConfig,
    {
      targets: Object.fromEntries(targets),
      retention: deployment.retention,
      upload_bytes_max: deployment.uploadBytesMax,
      ...(deployment.objectLock === undefined ? {} : { object_lock: deployment.objectLock }),
      storage_class: deployment.storageClass,
      transitions: deployment.transitions.map(({ days, storageClass }) => ({
        days,
        storage_class: storageClass,
      })),
      ...(deployment.signatures === undefined
        ? {}
        : {
            signatures: {
              required: deployment.signatures.required,
              trusted_keys: deployment.signatures.trustedKeys,
            },
          }),
      ...(deployment.verification === undefined
        ? {}
        : { verification: { per_day: deployment.verification.perDay } }),
      ...(Object.keys(deployment.copies).length === 0 ? {} : { copies: runtimeCopies(deployment) }),
      ...(deployment.alarms.backupAgeHours === undefined
        ? {}
        : { backup_age_hours: deployment.alarms.backupAgeHours }),
      ...(notify === undefined
        ? {}
        : {
            notify: {
              emails: notify.emails,
              topics: notify.topics.map(topicArn),
              webhooks: Object.fromEntries(
                Object.entries(notify.webhooks).map(([name, { kind, secret, allowHttp }]) => [
                  name,
                  { kind, secret: secret ?? webhookSecretName(stackName, name), allow_http: allowHttp },
                ]),
              ),
              time_zone: schedule.timeZone,
            },
          }),
    },
    'Configuration of the functions',
  );
}

function runtimeCopies({ copies }: DeploymentConfig): Record<string, object> {
  const entries = Object.entries(copies).map(
    ([name, { keyArn, storageClass, keepDays, readRoleArn, ...copy }]) => [
      name,
      {
        ...copy,
        storage_class: storageClass,
        ...(keyArn === undefined ? {} : { key_arn: keyArn }),
        ...(keepDays === undefined ? {} : { keep_days: keepDays }),
        ...(readRoleArn === undefined ? {} : { read_role_arn: readRoleArn }),
      },
    ],
  );
  return Object.fromEntries(entries);
}

/** The ARN of a topic, however it was configured. */
export function topicArn(topic: Notify['topics'][number]): string {
  return typeof topic === 'string' ? topic : topic.arn;
}

/** Name of the secret that the stack creates for a webhook. Secrets of stores have two more parts. */
export function webhookSecretName(stackName: string, webhook: string): string {
  return `${stackName}/webhook-${webhook}`;
}

/** An invalid value, shortened. The configuration contains no secrets: those are in Secrets Manager. */
function received(value: unknown): string {
  if (value === undefined) return '';
  const text = JSON.stringify(value);
  return ` (received ${text.length > 80 ? `${text.slice(0, 77)}…` : text})`;
}
