import { Arn, CfnOutput, Stack } from 'aws-cdk-lib';
import { Construct } from 'constructs';
import { ACKNOWLEDGED_KEY, BACKUPS, CATALOG_CACHE_KEY } from '../shared/aws/keys.ts';
import type { ArchiveBucket } from './archive-bucket.ts';
import type { Copy, DeploymentConfig } from './config.ts';
import type { FunctionSize } from './functions.ts';
import type { StepHandler } from './step-handler.ts';
import { acceptWildcard } from './wildcards.ts';
import { CopyWorkflow } from './workflows/copy-workflow.ts';
import { executionArn, stateMachineArn, type WorkflowSettings } from './workflows/state-machine.ts';

export interface CopiesProps extends WorkflowSettings {
  readonly archive: ArchiveBucket;
  /** The function that copies. */
  readonly handler: StepHandler;
  /** The function that starts copies: after each backup, and on its schedule. */
  readonly janitor: StepHandler;
}

/** Copies of backups in other buckets: the workflow, and who may start it. */
export class Copies extends Construct {
  constructor(scope: Construct, id: string, { archive, handler, janitor, ...settings }: CopiesProps) {
    super(scope, id);
    new CopyWorkflow(this, 'Workflow', { ...settings, handler });
    const machine = stateMachineArn(this, 'Copy');
    janitor.function.addEnvironment('NGBAK_COPY_STATE_MACHINE_ARN', machine);
    janitor.allow(['states:StartExecution'], [machine]);
    const executions = executionArn(this, 'Copy');
    janitor.allow(['states:DescribeExecution'], [executions]);
    acceptWildcard(janitor, executions, 'All executions of our own workflow.');
    // Which backups are good depends on acknowledged warnings.
    archive.grant(janitor, { read: [CATALOG_CACHE_KEY, ACKNOWLEDGED_KEY] });
    new CfnOutput(scope, 'CopyRoleArn', {
      value: handler.function.role?.roleArn ?? '',
      description: 'Adds copies of backups to other buckets: their policies must allow it',
    });
  }
}

/** A permission on the bucket of a copy, or on what it needs. */
export interface CopyPermission {
  readonly actions: string[];
  readonly resources: string[];
  readonly conditions?: Record<string, object>;
}

/**
 * The permissions of a role on the bucket of a copy. Writing includes neither deletion, nor reading, nor changes of
 * locks. Reading is that of the configured role, if there is one.
 */
export function copyPermissions(
  scope: Construct,
  { bucket, prefix, keyArn, lock, readRoleArn }: Copy,
  use: NonNullable<FunctionSize['copies']>,
): CopyPermission[] {
  const arn = Arn.format({ service: 's3', region: '', account: '', resource: bucket }, Stack.of(scope));
  const objects = `${arn}/${prefix === undefined ? '' : `${prefix}/`}${BACKUPS}*`;
  const key = (...actions: string[]) => (keyArn === undefined ? [] : [{ actions, resources: [keyArn] }]);
  if (use === 'write') {
    const parts = ['s3:PutObject', 's3:AbortMultipartUpload', 's3:ListMultipartUploadParts'];
    return [
      { actions: [...parts, ...(lock === undefined ? [] : ['s3:PutObjectRetention'])], resources: [objects] },
      // Completing a multipart upload decrypts its parts.
      ...key('kms:GenerateDataKey', 'kms:Decrypt'),
    ];
  }
  if (readRoleArn !== undefined) return [{ actions: ['sts:AssumeRole'], resources: [readRoleArn] }];
  const below = { StringLike: { 's3:prefix': [`${prefix}/*`] } };
  return [
    {
      actions: ['s3:GetObject', 's3:GetObjectVersion', ...(use === 'thaw' ? ['s3:RestoreObject'] : [])],
      resources: [objects],
    },
    { actions: ['s3:ListBucket'], resources: [arn], ...(prefix === undefined ? {} : { conditions: below }) },
    ...key('kms:Decrypt'),
  ];
}

/** Grants a function access to the buckets of all copies. The function that writes may also read, to check what exists. */
export function allowCopies(handler: StepHandler, size: FunctionSize, { copies }: DeploymentConfig): void {
  if (!size.copies) return;
  const uses = size.copies === 'write' ? (['write', 'read'] as const) : ([size.copies] as const);
  for (const copy of Object.values(copies)) {
    for (const { actions, resources, conditions } of uses.flatMap((use) =>
      copyPermissions(handler, copy, use),
    )) {
      handler.allow(actions, resources, conditions);
      for (const resource of resources.filter((arn) => arn.endsWith('*'))) {
        acceptWildcard(
          handler,
          resource,
          'The copies of all backups, in a bucket that was configured for them.',
        );
      }
    }
  }
}
