import { ArnFormat, Stack } from 'aws-cdk-lib';
import { ManagedPolicy, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import { Construct } from 'constructs';
import { BACKUPS } from '../shared/aws/keys.ts';
import { type ArchiveBucket, UNFINISHED } from './archive-bucket.ts';
import type { Copy, DeploymentConfig } from './config.ts';
import { copyPermissions } from './copies.ts';
import { SIZES } from './functions.ts';
import type { HttpApi } from './http-api.ts';
import type { Schedules } from './schedules.ts';
import { acceptWildcard } from './wildcards.ts';
import { executionArn, stateMachineArn } from './workflows/state-machine.ts';

export interface OperatorPolicyProps {
  readonly archive: ArchiveBucket;
  /** Absent without EventBridge Scheduler. */
  readonly schedules: Schedules | undefined;
  /** Absent without the HTTP API. */
  readonly apiSecret: HttpApi['secret'] | undefined;
  /** Absent if archives are not signed. */
  readonly signingKey: IKey | undefined;
  readonly copies: DeploymentConfig['copies'];
}

/**
 * The permissions of the CLI with AWS credentials, as a policy for administrators to attach to users or roles; the
 * stack itself does not attach it. In the bucket it has the permissions that the HTTP API uses for an admin.
 */
export class OperatorPolicy extends Construct {
  readonly policy: ManagedPolicy;

  constructor(
    scope: Construct,
    id: string,
    { archive, schedules, apiSecret, signingKey, copies }: OperatorPolicyProps,
  ) {
    super(scope, id);
    this.policy = new ManagedPolicy(this, 'Policy', {
      description: 'Permissions of the ngbak CLI with AWS credentials',
    });
    this.#allowBucket(archive);
    const machines = (['Backup', 'Restore'] as const).map((name) => stateMachineArn(this, name));
    const executions = (['Backup', 'Restore'] as const).map((name) => executionArn(this, name));
    this.#allow(['states:StartExecution', 'states:DescribeStateMachine', 'states:ListExecutions'], machines);
    this.#allow(
      ['states:DescribeExecution', 'states:StopExecution', 'states:GetExecutionHistory'],
      executions,
      'All executions of our own workflow.',
    );
    this.#allow(['states:SendTaskSuccess', 'states:SendTaskFailure'], [stateMachineArn(this, 'Restore')]);
    // The outputs of the stack, from which the CLI learns the names of all resources.
    const stack = Stack.of(this).formatArn({
      service: 'cloudformation',
      resource: 'stack',
      resourceName: `${Stack.of(this).stackName}/*`,
      arnFormat: ArnFormat.SLASH_RESOURCE_NAME,
    });
    this.#allow(['cloudformation:DescribeStacks'], [stack], 'Our own stack; its ARN ends in a random id.');
    if (signingKey) this.#allow(['kms:GetPublicKey'], [signingKey.keyArn]);
    for (const copy of Object.values(copies)) this.#allowCopy(copy);
    // `ngbak key` reads and writes the access list.
    apiSecret?.grantRead(this.policy);
    apiSecret?.grantWrite(this.policy);
    if (schedules) this.policy.addStatements(...schedules.statements(this.policy));
  }

  #allowBucket(archive: ArchiveBucket): void {
    const { bucket, key } = archive;
    const { read, write, delete: remove, thaw } = SIZES.api.bucket;
    const objects = (patterns: readonly string[]) => archive.arnsOf(patterns);
    const reason = 'All objects of one prefix of the bucket.';
    // To resume an upload, its parts are listed; then it is completed from them.
    this.#allow(['s3:GetObject', 's3:GetObjectVersion'], objects(read), reason);
    this.#allow(
      ['s3:PutObject', 's3:AbortMultipartUpload', 's3:ListMultipartUploadParts'],
      objects(write),
      reason,
    );
    this.#allow(['s3:DeleteObject', 's3:DeleteObjectVersion'], objects(remove), reason);
    this.#allow(['s3:GetObjectRetention', 's3:GetObjectLegalHold'], objects([`${BACKUPS}*`]), reason);
    this.#allow(['s3:RestoreObject'], objects(thaw), reason);
    this.#allow(['s3:ListMultipartUploadParts'], objects(UNFINISHED), reason);
    this.policy.addStatements(
      new PolicyStatement({
        actions: ['s3:ListBucket'],
        resources: [bucket.bucketArn],
        ...(archive.listed ? { conditions: archive.listed } : {}),
      }),
      new PolicyStatement({
        actions: ['s3:ListBucketVersions'],
        resources: [bucket.bucketArn],
        conditions: archive.ofPrefixes(['*']),
      }),
      new PolicyStatement({ actions: ['s3:ListBucketMultipartUploads'], resources: [bucket.bucketArn] }),
    );
    if (key) this.#allow(['kms:Decrypt', 'kms:GenerateDataKey'], [key.keyArn]);
  }

  /** Copies are verified and thawed, and never changed. */
  #allowCopy(copy: Copy): void {
    for (const { actions, resources, conditions } of copyPermissions(this, copy, 'thaw')) {
      this.policy.addStatements(
        new PolicyStatement({ actions, resources, ...(conditions === undefined ? {} : { conditions }) }),
      );
      for (const resource of resources.filter((arn) => arn.endsWith('*'))) {
        acceptWildcard(
          this.policy,
          resource,
          'The copies of all backups, in a bucket that was configured for them.',
        );
      }
    }
  }

  /** @param why  required if the resources have wildcards */
  #allow(actions: string[], resources: string[], reason?: string): void {
    this.policy.addStatements(new PolicyStatement({ actions, resources }));
    if (reason === undefined) return;
    for (const resource of resources) acceptWildcard(this.policy, resource, reason);
  }
}
