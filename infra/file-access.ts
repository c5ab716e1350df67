import { Arn, ArnFormat, Stack } from 'aws-cdk-lib';
import type { CfnFunction } from 'aws-cdk-lib/aws-lambda';
import type { DeploymentConfig } from './config.ts';
import type { FunctionSize } from './functions.ts';
import type { StepHandler } from './step-handler.ts';
import { acceptWildcard } from './wildcards.ts';

/** Gives a function the buckets that hold the files of the stores it reaches; writing only where it restores them. */
export function allowBuckets(handler: StepHandler, size: FunctionSize, { targets }: DeploymentConfig): void {
  const names = Object.values(targets).flatMap(({ stores }) =>
    size.stores.flatMap((store) => stores[store]?.buckets ?? []),
  );
  for (const name of new Set(names)) {
    const bucket = Arn.format({ service: 's3', region: '', account: '', resource: name }, Stack.of(handler));
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

/** Mounts the configured EFS access point, for stores whose files are in a folder there. */
export function mountFileSystem(
  handler: StepHandler,
  size: FunctionSize,
  { fileSystem, targets }: DeploymentConfig,
): void {
  // Problems with the file system do not concern functions that reach other stores only.
  const files = size.stores.some((store) =>
    Object.values(targets).some(({ stores }) => stores[store]?.kind === 'files'),
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
