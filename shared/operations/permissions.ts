import { ListExecutionsCommand } from '@aws-sdk/client-sfn';
import { z } from 'zod';
import { explainAwsError } from '../aws/aws-error.ts';
import { type Bucket, ConflictError } from '../aws/bucket.ts';
import { BACKUPS, catalogKey, jobRecordKey } from '../aws/keys.ts';
import { AccessDeniedError } from '../core/errors.ts';
import type { OperationsContext } from './context.ts';

/** A job and a backup that never are; what is asked for in their names is refused, or finds nothing. */
const NOBODY = 'doctor-never-was';
/** No object has it: what may only happen to an object with this ETag never happens. */
const NO_ETAG = '"00000000000000000000000000000000"';

/**
 * What the AWS credentials in use may do, in words. It is tried, by calls that change nothing whether they are allowed or
 * not: S3 looks at permissions before it looks at conditions, which are made not to hold. Whether a workflow may be
 * started can't be tried without starting it. Throws AccessDeniedError where not even backups may be read.
 */
export async function describePermissions({
  bucket,
  sfn,
  stateMachines,
}: OperationsContext): Promise<string> {
  const probes: [what: string, tried: () => Promise<unknown>][] = [
    ['read backups and jobs', () => readAny(bucket)],
    ['write requests and records', () => bucket.writeRecord(jobRecordKey(NOBODY), {}, { etag: NO_ETAG })],
    ['delete backups', () => bucket.removeRecord(catalogKey(NOBODY), NO_ETAG)],
    [
      'read executions',
      () =>
        Promise.all(
          [stateMachines.backup, stateMachines.restore].map((stateMachineArn) =>
            sfn.send(new ListExecutionsCommand({ stateMachineArn, maxResults: 1 })),
          ),
        ),
    ],
  ];
  const outcomes = await Promise.all(
    probes.map(async ([what, tried]) => ({ what, is: await isAllowed(tried) })),
  );
  const may = outcomes.filter(({ is }) => is).map(({ what }) => what);
  const mayNot = outcomes.filter(({ is }) => !is).map(({ what }) => what);
  if (!outcomes[0]?.is) {
    throw new AccessDeniedError(`These AWS credentials may not ${mayNot.join(', ')}.`, {
      remedy:
        'Use other credentials (AWS_PROFILE), or extend their permissions: docs/deploy.md lists what an operator needs.',
    });
  }
  const refused = mayNot.length === 0 ? '' : `; may not ${mayNot.join(', ')}`;
  return `may ${may.join(', ')}${refused}; permission to start workflows is checked when one is started`;
}

/**
 * Reads a record that exists, if there is one: below a prefix, a record that does not exist is found missing also by those who may
 * only list.
 */
async function readAny(bucket: Bucket): Promise<void> {
  for await (const { key } of bucket.keys(BACKUPS)) {
    if (!key.endsWith('.json')) continue;
    await bucket.readRecord(key, z.unknown());
    return;
  }
  await bucket.readRecord(jobRecordKey(NOBODY), z.unknown());
}

async function isAllowed(tried: () => Promise<unknown>): Promise<boolean> {
  try {
    await tried();
    return true;
  } catch (error) {
    if (error instanceof ConflictError) return true;
    if (explainAwsError(error) instanceof AccessDeniedError) return false;
    throw error;
  }
}
