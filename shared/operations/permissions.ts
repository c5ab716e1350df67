import { ListExecutionsCommand } from '@aws-sdk/client-sfn';
import { z } from 'zod';
import { explainAwsError } from '../aws/aws-error.ts';
import { type Bucket, ConflictError } from '../aws/bucket.ts';
import { BACKUPS, catalogKey, jobRecordKey } from '../aws/keys.ts';
import { AccessDeniedError } from '../core/errors.ts';
import type { OperationsContext } from './context.ts';

/** Id of a job and a backup that never exist: requests for them are refused, or find nothing. */
const MISSING_ID = 'doctor-never-was';
/** An ETag that no object has, so that operations conditional on it never happen. */
const NO_ETAG = '"00000000000000000000000000000000"';

/**
 * What the current AWS credentials may do, as text. Determined by calls that change nothing whether they are allowed or
 * not: S3 checks permissions before conditions, and these conditions never hold. Permission to start a workflow can't
 * be tested without starting it. Throws AccessDeniedError if not even backups may be read.
 */
export async function describePermissions({
  bucket,
  sfn,
  stateMachines,
}: OperationsContext): Promise<string> {
  const probes: [what: string, tried: () => Promise<unknown>][] = [
    ['read backups and jobs', () => readAny(bucket)],
    ['write requests and records', () => bucket.writeRecord(jobRecordKey(MISSING_ID), {}, { etag: NO_ETAG })],
    ['delete backups', () => bucket.removeRecord(catalogKey(MISSING_ID), NO_ETAG)],
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
 * Reads an existing record, if there is one: for a record that does not exist, callers with permission to list get "not
 * found" even without permission to read.
 */
async function readAny(bucket: Bucket): Promise<void> {
  for await (const { key } of bucket.keys(BACKUPS)) {
    if (!key.endsWith('.json')) continue;
    await bucket.readRecord(key, z.unknown());
    return;
  }
  await bucket.readRecord(jobRecordKey(MISSING_ID), z.unknown());
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
