import { S3Client } from '@aws-sdk/client-s3';
import { expect, test } from '@jest/globals';
import { presignedUntil } from '../../shared/aws/presign.ts';

const signedWith = (expiration?: Date) =>
  new S3Client({
    region: 'eu-central-1',
    credentials: { accessKeyId: 'x', secretAccessKey: 'x', ...(expiration ? { expiration } : {}) },
  });

test('a presigned address expires with the credentials that signed it, if those expire first', async () => {
  const soon = new Date(Date.now() + 60_000);
  expect(await presignedUntil(signedWith(soon), 3600)).toBe(soon.toISOString());
  const late = new Date(Date.now() + 7_200_000);
  const promised = Date.parse(await presignedUntil(signedWith(late), 3600));
  expect(promised).toBeLessThanOrEqual(Date.now() + 3_600_000);
  expect(Date.parse(await presignedUntil(signedWith(), 3600))).toBeGreaterThan(Date.now() + 3_500_000);
});
