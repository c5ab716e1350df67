import type { S3Client } from '@aws-sdk/client-s3';

/**
 * When a URL expires that is presigned now for a number of seconds. It expires with the credentials that sign it at
 * the latest, which are those of the function's role: a few hours at most (S3 user guide, "Sharing objects with
 * presigned URLs").
 */
export async function presignedUntil(s3: Pick<S3Client, 'config'>, seconds: number): Promise<string> {
  const { expiration } = await s3.config.credentials();
  const end = Date.now() + seconds * 1000;
  return new Date(Math.min(end, expiration?.getTime() ?? end)).toISOString();
}
