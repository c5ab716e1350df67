import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { GetObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { DescribeExecutionCommand, SFNClient } from '@aws-sdk/client-sfn';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { explainAwsError } from '../../shared/aws/aws-error.ts';
import { Bucket } from '../../shared/aws/bucket.ts';
import { archivedObject, explainS3Error, isTransient } from '../../shared/aws/s3-error.ts';
import { NgbakError } from '../../shared/core/errors.ts';

/** A mock of S3 and Step Functions: the emulator has no KMS states, clocks, sessions or storage classes. */

let server: Server;
let answer: { status: number; body: string; headers?: Record<string, string> };
const clients = () => ({
  endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
  region: 'eu-central-1',
  credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
  maxAttempts: 1,
});
beforeAll(async () => {
  server = createServer((request, response) => {
    request.resume();
    response.writeHead(answer.status, { 'content-type': 'application/xml', ...answer.headers });
    response.end(answer.body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterAll(() => void server.close());

const xml = (code: string, message: string, more = '') =>
  `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${message}</Message>${more}</Error>`;

async function refusal(verb: 'read' | 'write'): Promise<NgbakError> {
  const s3 = new S3Client({ ...clients(), forcePathStyle: true });
  const what = { Bucket: 'b', Key: 'backups/x.ngbak' };
  const call = verb === 'read' ? s3.send(new GetObjectCommand(what)) : s3.send(new PutObjectCommand(what));
  const error: unknown = await (call as Promise<unknown>).then(
    () => new Error('It was not refused.'),
    (thrown: unknown) => explainS3Error(thrown, verb, 's3://b/backups/x.ngbak'),
  );
  if (error instanceof NgbakError) return error;
  throw error;
}

const KEY = 'arn:aws:kms:eu-central-1:111122223333:key/0000-1111';

describe('an S3 error', () => {
  const cases: [what: string, status: number, body: string, name: string, text: RegExp][] = [
    [
      'an object in Glacier',
      403,
      xml('InvalidObjectState', 'The operation is not valid', '<StorageClass>DEEP_ARCHIVE</StorageClass>'),
      'ObjectArchivedError',
      /x\.ngbak is in the storage class DEEP_ARCHIVE .*restore-object/s,
    ],
    [
      'because of a disabled KMS key',
      400,
      xml('KMS.DisabledException', `${KEY} is disabled.`),
      'AccessDeniedError',
      /its KMS key arn:aws:kms:\S+0000-1111 is disabled/,
    ],
    [
      'because of a KMS key that is pending deletion',
      400,
      xml('KMS.KMSInvalidStateException', `${KEY} is pending deletion.`),
      'AccessDeniedError',
      /about to be deleted.*cancel its deletion/s,
    ],
    [
      'because KMS is throttled',
      400,
      xml('KMS.ThrottlingException', 'Rate exceeded'),
      'UnavailableError',
      /Throttling/,
    ],
    [
      'since the body came too slowly',
      400,
      xml('RequestTimeout', 'Your socket…'),
      'UnavailableError',
      /RequestTimeout/,
    ],
    ['since it is too busy', 503, xml('SlowDown', 'Please reduce'), 'UnavailableError', /SlowDown/],
    [
      'an expired session',
      400,
      xml('ExpiredToken', 'The provided token has expired.'),
      'AccessDeniedError',
      /expired.*Sign in again/s,
    ],
    [
      'a request of a machine whose clock is wrong',
      403,
      xml(
        'RequestTimeTooSkewed',
        'The difference is too large.',
        `<ServerTime>${new Date(Date.now() - 20 * 60_000).toISOString()}</ServerTime>`,
      ),
      'AccessDeniedError',
      /the clock of this machine is 20 minutes ahead/,
    ],
    [
      'without a permission',
      403,
      xml('AccessDenied', 'Access Denied'),
      'AccessDeniedError',
      /No permission to .*AccessDenied/,
    ],
    ['for a reason of its own', 400, xml('InvalidArgument', 'no'), 'NgbakError', /InvalidArgument/],
  ];
  test.each(cases)('%s is explained', async (_what, status, body, name, text) => {
    answer = { status, body };
    for (const verb of ['read', 'write'] as const) {
      const error = await refusal(verb);
      expect(`${error.message} ${error.remedy}`).toMatch(text);
      expect(error.name).toBe(name);
      expect(error.retryable).toBe(name === 'UnavailableError');
      if (error.retryable) expect(isTransient(error.cause)).toBe(true);
    }
  });

  test('a catalog record whose KMS key is throttled is retried', async () => {
    answer = { status: 400, body: xml('KMS.ThrottlingException', 'Rate exceeded') };
    const bucket = new Bucket('b', new S3Client({ ...clients(), forcePathStyle: true }));
    await expect(bucket.writeRecord('jobs/x/job.json', {})).rejects.toMatchObject({
      name: 'UnavailableError',
      retryable: true,
    });
  });
});

describe('an error of another service', () => {
  const refused = async (status: number, type: string, message = '') => {
    answer = {
      status,
      body: JSON.stringify({ __type: type, message }),
      headers: { 'content-type': 'application/x-amz-json-1.0', 'x-amzn-errortype': type },
    };
    const call = new SFNClient(clients()).send(new DescribeExecutionCommand({ executionArn: 'arn:x' }));
    return call.then(
      () => undefined,
      (error: unknown) => explainAwsError(error) as Error,
    );
  };

  test.each([
    [400, 'ThrottlingException', 'UnavailableError'],
    [400, 'TooManyRequestsException', 'UnavailableError'],
    [500, 'InternalServerException', 'UnavailableError'],
    [400, 'ExpiredTokenException', 'AccessDeniedError'],
  ])('with %d %s is a %s, which the workflows know', async (status, type, name) => {
    expect((await refused(status, type))?.name).toBe(name);
  });

  test('that results from a wrong clock names the clock', async () => {
    const error = await refused(
      400,
      'InvalidSignatureException',
      'Signature expired: 20261129T010000Z is now earlier',
    );
    expect(error?.message).toContain('the clock of this machine is');
  });
});

describe('an object by its storage class', () => {
  const where = 's3://b/x';
  test.each([
    ['STANDARD', {}, false],
    ['GLACIER_IR', { StorageClass: 'GLACIER_IR' as const }, false],
    ['GLACIER', { StorageClass: 'GLACIER' as const }, true],
    [
      'a tier of INTELLIGENT_TIERING',
      { StorageClass: 'INTELLIGENT_TIERING' as const, ArchiveStatus: 'ARCHIVE_ACCESS' as const },
      true,
    ],
    [
      'GLACIER while it is restored',
      { StorageClass: 'GLACIER' as const, Restore: 'ongoing-request="true"' },
      true,
    ],
    [
      'GLACIER once it is restored',
      { StorageClass: 'GLACIER' as const, Restore: 'ongoing-request="false", expiry-date="x"' },
      false,
    ],
  ])('%s', (_name, head, archived) => {
    expect(archivedObject(head, where) !== undefined).toBe(archived);
  });
});
