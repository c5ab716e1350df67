import { z } from 'zod';

/** Where files are: `s3://bucket/prefix`, or the path of a mounted folder. */
export const FilesLocation = z
  .string()
  .max(1024)
  .refine(
    (location) => /^s3:\/\/[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](\/.*)?$/.test(location) || isPlainPath(location),
    'must be s3://bucket/prefix or an absolute path without ".." parts',
  );

/** Splits a location: `bucket` is set for files in S3, and `path` is then their prefix without a trailing slash. */
export function placeOf(location: string): { bucket?: string; path: string } {
  const [, bucket, prefix = ''] = /^s3:\/\/([^/]+)\/?(.*)$/.exec(location) ?? [];
  const path = (bucket === undefined ? location : prefix).replace(/\/+$/, '');
  return bucket === undefined ? { path } : { bucket, path };
}

function isPlainPath(path: string): boolean {
  return path.startsWith('/') && path.length > 1 && !path.split('/').includes('..');
}
