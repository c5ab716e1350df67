import { CfnOutput, Duration, Stack, type StackProps, Validations } from 'aws-cdk-lib';
import {
  AccountPrincipal,
  AnyPrincipal,
  CompositePrincipal,
  Effect,
  PolicyStatement,
  type PrincipalBase,
  Role,
} from 'aws-cdk-lib/aws-iam';
import { Key } from 'aws-cdk-lib/aws-kms';
import { Bucket, ObjectLockRetention } from 'aws-cdk-lib/aws-s3';
import type { Construct } from 'constructs';
import { BACKUPS } from '../../shared/aws/keys.ts';
import { ARCHIVE_SETTINGS, accessLogSettings } from '../bucket-settings.ts';
import { removalPolicyOf } from '../removal.ts';
import { acceptWildcard } from '../wildcards.ts';
import type { VaultConfig } from './config.ts';

/** Days after which parts of an unfinished upload are deleted: failed copies are continued for days. */
const UNFINISHED_DAYS = 30;
/** Longest session of the role of readers: those who already use a role get an hour from AWS (role chaining). */
const SESSION_HOURS = 12;
/** What a copy of a backup consists of. */
const OBJECTS = ['*.ngbak', '*.ngbak.sig', '*.json'];

/** Present in requests that create an object, which are PutObject, CopyObject and CompleteMultipartUpload. */
const CREATES = 's3:ObjectCreationOperation';
const IF_NONE_MATCH = 's3:if-none-match';

export interface VaultStackProps extends StackProps {
  readonly vault: VaultConfig;
}

/**
 * A bucket in another account, to which a deployment of ngbak adds copies of its backups and where nobody changes or
 * deletes them before their lock expires (docs/adr/0020-vault-and-recovery.md).
 */
export class VaultStack extends Stack {
  readonly #vault: VaultConfig;
  readonly #prefix: string;

  constructor(scope: Construct, id: string, { vault, ...props }: VaultStackProps) {
    super(scope, id, {
      description: 'ngbak: vault for copies of backups',
      terminationProtection: vault.removal === 'retain',
      ...props,
    });
    this.#vault = vault;
    this.#prefix = vault.prefix === undefined ? '' : `${vault.prefix}/`;
    const key = new Key(this, 'Key', {
      description: 'Encrypts the copies in the vault of ngbak',
      enableKeyRotation: true,
      removalPolicy: removalPolicyOf(vault),
    });
    const bucket = this.#bucket(key);
    this.#allowAdditions(bucket, key);
    this.#denyReplacements(bucket, key);
    const readers = vault.readers.length > 0 ? this.#readers(bucket, key) : undefined;
    const output = (name: string, value: string, description: string) =>
      new CfnOutput(this, name, { value, description });
    output('BucketName', bucket.bucketName, 'Copies of backups');
    output('KeyArn', key.keyArn, 'Encrypts the copies');
    if (readers) output('ReadRoleArn', readers.roleArn, 'The role that readers assume');
    output(
      'Copy',
      this.toJsonString({
        bucket: bucket.bucketName,
        ...(vault.prefix === undefined ? {} : { prefix: vault.prefix }),
        region: this.region,
        account: this.account,
        keyArn: key.keyArn,
        ...(vault.keepDays === undefined ? {} : { keepDays: vault.keepDays }),
        ...(readers ? { readRoleArn: readers.roleArn } : {}),
      }),
      'The vault as an entry of "copies" in the configuration of the source',
    );
  }

  #bucket(encryptionKey: Key): Bucket {
    const { bucketName, lock, keepDays, accessLogs } = this.#vault;
    const period = Duration.days(lock.days);
    const bucket = new Bucket(this, 'Bucket', {
      ...(bucketName === undefined ? {} : { bucketName }),
      ...ARCHIVE_SETTINGS,
      encryptionKey,
      // For every object: the source needs no permission to lock, and cannot leave an object unlocked.
      objectLockDefaultRetention:
        lock.mode === 'compliance'
          ? ObjectLockRetention.compliance(period)
          : ObjectLockRetention.governance(period),
      lifecycleRules: [
        { id: 'unfinished-uploads', abortIncompleteMultipartUploadAfter: Duration.days(UNFINISHED_DAYS) },
        ...(keepDays === undefined
          ? []
          : [
              {
                id: 'expired-copies',
                expiration: Duration.days(keepDays),
                noncurrentVersionExpiration: Duration.days(1),
              },
              { id: 'delete-markers', expiredObjectDeleteMarker: true },
            ]),
      ],
      removalPolicy: removalPolicyOf(this.#vault),
      ...accessLogSettings(this, accessLogs),
    });
    Validations.of(bucket).acknowledge(
      accessLogs === undefined
        ? {
            id: 'AwsSolutions-S1',
            reason:
              'Access is audited by CloudTrail data events where an organisation wants that; server access logs need a bucket of their own and are turned on by naming one (vault.accessLogs).',
          }
        : {
            id: 'Annotation::@aws-cdk/aws-s3:accessLogsPolicyNotAdded',
            reason:
              'The log bucket belongs to another stack; docs/deploy.md shows what its policy has to allow.',
          },
    );
    return bucket;
  }

  /** The objects that copies consist of. */
  #objects(bucket: Bucket): string[] {
    return OBJECTS.map((name) => bucket.arnForObjects(`${this.#prefix}${BACKUPS}${name}`));
  }

  /**
   * Lets the role of the source add objects. The principal is its account, with a condition on the name of the role:
   * a policy cannot name a role that does not exist yet, and a role that was created again gets the same access.
   */
  #allowAdditions(bucket: Bucket, key: Key): void {
    const { account, stackName, role = `${stackName}-Functionscopybackup*` } = this.#vault.source;
    const isSource = {
      ArnLike: { 'aws:PrincipalArn': `arn:${this.partition}:iam::${account}:role/${role}` },
    };
    const allow = (sid: string, actions: string[], conditions: Record<string, object> = {}) =>
      bucket.addToResourcePolicy(
        new PolicyStatement({
          sid,
          principals: [new AccountPrincipal(account)],
          actions,
          resources: this.#objects(bucket),
          conditions: { ...isSource, ...conditions },
        }),
      );
    // Only with "If-None-Match: *", with which S3 refuses to replace an object.
    allow('AddObjects', ['s3:PutObject'], { Null: { [IF_NONE_MATCH]: 'false' } });
    // These requests create no object, and S3 supports the header only in the one that completes the upload.
    allow('SendParts', ['s3:PutObject'], { Bool: { [CREATES]: 'false' } });
    allow('ResumeUploads', ['s3:AbortMultipartUpload', 's3:ListMultipartUploadParts']);
    key.addToResourcePolicy(
      new PolicyStatement({
        sid: 'EncryptCopies',
        principals: [new AccountPrincipal(account)],
        // Completing a multipart upload decrypts its parts.
        actions: ['kms:GenerateDataKey', 'kms:Decrypt'],
        resources: ['*'],
        conditions: {
          ...isSource,
          StringEquals: { 'kms:ViaService': `s3.${this.region}.${this.urlSuffix}` },
        },
      }),
    );
  }

  /** Denies everyone, including users of the vault's account, to replace copies and to use another encryption. */
  #denyReplacements(bucket: Bucket, key: Key): void {
    const encryption = 's3:x-amz-server-side-encryption';
    const deny = (sid: string, conditions: Record<string, object>) =>
      bucket.addToResourcePolicy(
        new PolicyStatement({
          sid,
          effect: Effect.DENY,
          principals: [new AnyPrincipal()],
          actions: ['s3:PutObject'],
          resources: [bucket.arnForObjects('*')],
          conditions,
        }),
      );
    deny('RefuseReplacement', { Bool: { [CREATES]: 'true' }, Null: { [IF_NONE_MATCH]: 'true' } });
    // A request without these headers uses the encryption of the bucket. Each is checked only if it is present: those that
    // send parts have none.
    deny('RefuseOtherKeys', {
      Null: { [`${encryption}-aws-kms-key-id`]: 'false' },
      StringNotEquals: { [`${encryption}-aws-kms-key-id`]: key.keyArn },
    });
    deny('RefuseOtherEncryption', {
      Null: { [encryption]: 'false' },
      StringNotEquals: { [encryption]: 'aws:kms' },
    });
    deny('RefuseCustomerKeys', { Null: { [`${encryption}-customer-algorithm`]: 'false' } });
  }

  /** The role that reads copies. Like the source, its readers are named by conditions. */
  #readers(bucket: Bucket, key: Key): Role {
    const role = new Role(this, 'ReadRole', {
      description: 'Reads the copies in the vault of ngbak, for verifications and recoveries',
      maxSessionDuration: Duration.hours(SESSION_HOURS),
      assumedBy: new CompositePrincipal(...this.#trusted()),
    });
    const allow = (actions: string[], resources: string[], conditions: Record<string, object> = {}) =>
      role.addToPolicy(new PolicyStatement({ actions, resources, conditions }));
    allow(
      ['s3:GetObject', 's3:GetObjectVersion', 's3:GetObjectRetention', 's3:GetObjectLegalHold'],
      this.#objects(bucket),
    );
    // Copies in cold storage are thawed before they are read.
    allow(['s3:RestoreObject'], [this.#objects(bucket)[0] ?? '']);
    allow(
      ['s3:ListBucket', 's3:ListBucketVersions'],
      [bucket.bucketArn],
      this.#prefix === '' ? {} : { StringLike: { 's3:prefix': `${this.#prefix}*` } },
    );
    allow(['kms:Decrypt'], [key.keyArn]);
    for (const arn of this.#objects(bucket)) {
      acceptWildcard(role, arn, 'All copies of one kind below the prefix of the vault.');
    }
    return role;
  }

  /** The readers, by account. */
  #trusted(): PrincipalBase[] {
    const byAccount = Map.groupBy(this.#vault.readers, (arn) => arn.split(':')[4] ?? '');
    return [...byAccount].map(([account, arns]) => {
      const principal = new AccountPrincipal(account);
      // The root stands for the whole account.
      if (arns.some((arn) => arn.endsWith(':root'))) return principal;
      return principal.withConditions({ ArnLike: { 'aws:PrincipalArn': arns } });
    });
  }
}
