/**
 * A prefix for all keys of ngbak in a bucket that it shares with others. The S3 client of the archive bucket adds it
 * to keys and removes it again: all other code uses keys without it, as if the prefix were a separate bucket
 * (docs/adr/0012-prefix-in-the-client.md).
 */
import {
  ListObjectsV2Command,
  NoSuchKey,
  NotFound,
  type S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3';
import { z } from 'zod';
import { notePrefix } from './address.ts';
import { OWN_FOLDERS } from './keys.ts';
import { sendS3 } from './send-s3.ts';

/** Folders of characters that need no escaping in URLs, policies, event patterns and lifecycle rules. */
const FOLDERS = /^[A-Za-z0-9_.-]+(\/[A-Za-z0-9_.-]+)*$/;
const PREFIX_MAX = 256;

/** A configured prefix: folders separated by `/`. A slash at the end is removed. */
export const KeyPrefix = z
  .string()
  .max(PREFIX_MAX)
  .transform((prefix) => prefix.replace(/\/$/, ''))
  .refine(
    (prefix) => FOLDERS.test(prefix),
    'must be folders of letters, digits, "_", "." and "-", such as "team/ngbak"',
  )
  .refine(
    (prefix) =>
      !prefix.split('/').some((folder) => /^\.+$/.test(folder) || OWN_FOLDERS.includes(`${folder}/`)),
    `must not have a folder that is named "..", or as one that ngbak uses itself: ${OWN_FOLDERS.join(' ')}`,
  );

/** Fields of requests and responses that contain keys, or prefixes of keys. */
const KEY_FIELDS = ['Key', 'Prefix', 'StartAfter', 'KeyMarker', 'NextKeyMarker'] as const;
/** Lists in responses, and in the request to delete objects, whose elements have such fields. */
const LISTS = [
  'Contents',
  'CommonPrefixes',
  'Versions',
  'DeleteMarkers',
  'Uploads',
  'Deleted',
  'Errors',
] as const;
type Fields = Readonly<Record<string, unknown>>;

/** Makes a client add a prefix to all keys of a bucket, in calls and in presigned URLs. */
export function putPrefix(s3: S3Client, bucket: string, prefix: string): void {
  notePrefix(s3, { bucket, prefix });
  s3.middlewareStack.add(
    (next, { commandName }) =>
      async (args) => {
        const given = args.input as Fields;
        if (given.Bucket !== bucket) return next(args);
        try {
          const result = await next({
            ...args,
            input: withPrefix(given, bucket, prefix) as typeof args.input,
          });
          const output = withoutPrefix(result.output as unknown as Fields, prefix);
          return { ...result, output: output as unknown as typeof result.output };
        } catch (error) {
          throw await absentOrRefused(s3, commandName ?? '', given, error);
        }
      },
    { step: 'initialize', name: 'ngbakKeyPrefix' },
  );
}

function withPrefix(input: Fields, bucket: string, prefix: string): Fields {
  const changed: Record<string, unknown> = { ...input };
  for (const field of KEY_FIELDS) {
    const value = input[field];
    if (typeof value === 'string') changed[field] = prefix + value;
  }
  // A listing without a prefix lists everything below this one. Calls about the bucket itself ignore the field.
  changed.Prefix ??= prefix;
  if (typeof input.CopySource === 'string' && input.CopySource.startsWith(`${bucket}/`)) {
    changed.CopySource = `${bucket}/${prefix}${input.CopySource.slice(bucket.length + 1)}`;
  }
  const { Objects } = (input.Delete ?? {}) as { Objects?: readonly Fields[] };
  if (Objects) {
    const prefixed = Objects.map((object) => ({ ...object, Key: `${prefix}${object.Key}` }));
    changed.Delete = { ...(input.Delete as Fields), Objects: prefixed };
  }
  return changed;
}

function withoutPrefix(output: Fields, prefix: string): Fields {
  const strip = (fields: Fields): Fields => {
    const changed: Record<string, unknown> = { ...fields };
    for (const field of KEY_FIELDS) {
      const value = fields[field];
      if (typeof value === 'string' && value.startsWith(prefix)) changed[field] = value.slice(prefix.length);
    }
    return changed;
  };
  const stripped: Record<string, unknown> = { ...strip(output) };
  for (const list of LISTS) {
    const members = output[list];
    if (Array.isArray(members)) stripped[list] = members.map((member) => strip(member as Fields));
  }
  return stripped;
}

/** Calls that read an object that may not exist. Conditional writes are not included: S3 evaluates their condition. */
const READS = ['GetObjectCommand', 'HeadObjectCommand'];

/**
 * Without the permission to list a whole bucket, S3 answers 403 for an object that does not exist (S3 user guide,
 * "GetObject", "Permissions"). The permission to list below the prefix is not enough, so the object is looked up in a
 * listing.
 */
async function absentOrRefused(
  s3: S3Client,
  commandName: string,
  { Bucket, Key }: Fields,
  error: unknown,
): Promise<unknown> {
  const isRefused = error instanceof S3ServiceException && error.$metadata.httpStatusCode === 403;
  if (!isRefused || !READS.includes(commandName)) return error;
  if (typeof Bucket !== 'string' || typeof Key !== 'string') return error;
  const command = new ListObjectsV2Command({ Bucket, Prefix: Key, MaxKeys: 1 });
  // If listing is denied as well, the first denial is reported.
  const listed = await sendS3(s3, 'list', command).catch(() => undefined);
  if (listed === undefined || listed.Contents?.[0]?.Key === Key) return error;
  const absent = {
    message: 'The object does not exist.',
    $metadata: { ...error.$metadata, httpStatusCode: 404 },
  };
  return commandName === 'HeadObjectCommand' ? new NotFound(absent) : new NoSuchKey(absent);
}
