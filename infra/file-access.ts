import { Arn, ArnFormat, Stack } from 'aws-cdk-lib';
import type { CfnFunction } from 'aws-cdk-lib/aws-lambda';
import { placeOf } from '../shared/core/files-location.ts';
import { roleOf, valuesByStore } from '../shared/core/store-names.ts';
import { sourcesInFolder } from '../shared/profiles/running-configuration.ts';
import type { DeployedStore, DeployedTarget, DeploymentConfig } from './config.ts';
import type { FunctionSize } from './functions.ts';
import type { StepHandler } from './step-handler.ts';
import { acceptWildcard } from './wildcards.ts';

/** Grants a function access to the buckets with the files of its stores; write access only if it restores them. */
export function allowBuckets(handler: StepHandler, size: FunctionSize, { targets }: DeploymentConfig): void {
  const names = Object.values(targets).flatMap((target) =>
    accessedStores(target, size).flatMap(({ buckets = [] }) => buckets),
  );
  for (const name of new Set(names)) {
    const bucket = bucketArn(handler, name);
    const objects = `${bucket}/*`;
    handler.allow(
      // Unfinished uploads of a restore that was killed are found by their key.
      size.writesStores ? ['s3:ListBucket', 's3:ListBucketMultipartUploads'] : ['s3:ListBucket'],
      [bucket],
    );
    handler.allow(
      size.writesStores
        ? ['s3:GetObject', 's3:PutObject', 's3:DeleteObject', 's3:AbortMultipartUpload']
        : ['s3:GetObject'],
      [objects],
    );
    acceptWildcard(handler, objects, 'The files of a store, in a bucket that was configured for it.');
  }
}

/** The stores of a target that a function accesses. */
export function accessedStores(
  { stores }: Pick<DeployedTarget, 'stores'>,
  { roles }: FunctionSize,
): DeployedStore[] {
  return valuesByStore(stores).flatMap(([name, store]) => (roles.includes(roleOf(name)) ? [store] : []));
}

/**
 * Allows a function to read the configuration of running systems from S3: exactly the configured files, and a listing
 * of only their names, without which S3 answers 403 for a file that does not exist.
 */
export function allowConfiguration(
  handler: StepHandler,
  size: FunctionSize,
  { targets }: DeploymentConfig,
): void {
  if (!size.readsConfiguration) return;
  for (const target of Object.values(targets)) {
    const { configuration_folder: folder } = target;
    const { bucket: name, path } = placeOf(folder?.location ?? '');
    if (folder === undefined || name === undefined) continue;
    const bucket = bucketArn(handler, name);
    const keys = sourcesInFolder(target, folder).names.map((file) =>
      path === '' ? file : `${path}/${file}`,
    );
    handler.allow(['s3:ListBucket'], [bucket], { StringEquals: { 's3:prefix': keys } });
    handler.allow(
      ['s3:GetObject'],
      keys.map((key) => `${bucket}/${key}`),
    );
  }
}

function bucketArn(scope: StepHandler, name: string): string {
  return Arn.format({ service: 's3', region: '', account: '', resource: name }, Stack.of(scope));
}

/** Mounts the configured EFS access point, for stores and configuration whose files are in a folder there. */
export function mountFileSystem(
  handler: StepHandler,
  size: FunctionSize,
  { fileSystem, targets }: DeploymentConfig,
): void {
  // A problem of the file system must not affect functions that only access other stores.
  const files = Object.values(targets).some(
    ({ configuration_folder: folder, ...target }) =>
      accessedStores(target, size).some(({ kind }) => kind === 'files') ||
      (size.readsConfiguration && folder !== undefined && placeOf(folder.location).bucket === undefined),
  );
  if (fileSystem === undefined || !files) return;
  handler.allow(
    ['elasticfilesystem:ClientMount', ...(size.writesStores ? ['elasticfilesystem:ClientWrite'] : [])],
    [
      Stack.of(handler).formatArn({
        service: 'elasticfilesystem',
        resource: 'file-system',
        resourceName: fileSystem.fileSystemId,
        arnFormat: ArnFormat.SLASH_RESOURCE_NAME,
      }),
    ],
  );
  const { accessPointArn, mountPath } = fileSystem;
  (handler.function.node.defaultChild as CfnFunction).fileSystemConfigs = [
    { arn: accessPointArn, localMountPath: mountPath },
  ];
}
