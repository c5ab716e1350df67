import { userInfo } from 'node:os';
import { HeadBucketCommand } from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import type { z } from 'zod';
import { parsePublicKey } from '../shared/archive/format/signature.ts';
import { argumentsOf, type CallName, clientOf } from '../shared/core/calls.ts';
import { NgbakError } from '../shared/core/errors.ts';
import { parseInput } from '../shared/core/input.ts';
import type { OperationsContext } from '../shared/operations/context.ts';
import type { Operation, OperationCall } from '../shared/operations/operation.ts';
import { describePermissions } from '../shared/operations/permissions.ts';
import { rebuildCatalog } from '../shared/operations/rebuild-catalog.ts';
import { recover } from '../shared/operations/recover.ts';
import { OPERATIONS, type OperationsClient as Operations } from '../shared/operations/table.ts';
import { type CliClient, restoresOf } from './client.ts';

/** Performs all operations with AWS credentials alone: S3 and Step Functions. */
export function directClient(context: OperationsContext): CliClient {
  const requestedBy = `cli:${userInfo().username}`;
  const { bucket } = context;
  const call: OperationCall = {
    context,
    by: { requestedBy },
    caller: { name: requestedBy, role: 'admin' },
    // AWS decides what the credentials may do.
    allow: () => undefined,
    // A process at a terminal has no time limit.
    timeLeft: () => Number.POSITIVE_INFINITY,
    accessList: () => {
      throw new NgbakError('API keys are listed by `ngbak key list`.', { remedy: 'Use that command.' });
    },
  };
  async function run(
    name: CallName,
    args: readonly unknown[],
    more: Partial<OperationCall> = {},
  ): Promise<unknown> {
    const operation = OPERATIONS[name] as unknown as Operation<z.ZodType, z.ZodType>;
    const { id, input } = argumentsOf(name, args);
    const checked = operation.input && parseInput(operation.input, input ?? {}, 'The request');
    return operation.run({ ...call, ...more }, id, checked);
  }
  const operations = clientOf<Operations>((name, args) => run(name, args));
  return {
    ...operations,
    where: `s3://${bucket.place}`,
    verifyBackup: (id, { cursor, copy, ...leg }) =>
      run('verifyBackup', [id, { cursor, copy }], leg) as ReturnType<CliClient['verifyBackup']>,
    diffBackups: (id, input, leg) =>
      run('diffBackups', [id, input], leg) as ReturnType<CliClient['diffBackups']>,
    ...restoresOf(operations),
    uploadLimit: async () => context.uploadBytesMax,
    rebuildCatalog: (options) => rebuildCatalog(context, options),
    recover: (found, selection, { trustedKeys, ...options }) =>
      recover(trusting(context, trustedKeys), found, selection, options),
    permissions: () => describePermissions(context),
    async clockOffsetMs() {
      // Every response of S3 states its time, including the refusal caused by a wrong clock.
      const url = await getSignedUrl(bucket.s3, new HeadBucketCommand({ Bucket: bucket.name }));
      const { headers } = await fetch(url, { method: 'HEAD' });
      return Date.parse(headers.get('date') ?? '') - Date.now();
    },
  };
}

/** The context with further public keys in PEM, whose signatures are valid. Throws InvalidInputError. */
function trusting(context: OperationsContext, keys: readonly string[]): OperationsContext {
  if (keys.length === 0) return context;
  const { own, trusted = [] } = context.signatureKeys ?? {};
  const added = keys.map((pem, index) => parsePublicKey(pem, `Trusted key ${index + 1}`));
  return { ...context, signatureKeys: { own, trusted: [...trusted, ...added] } };
}
