import {
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  type ListObjectVersionsCommandOutput,
  NoSuchKey,
  PutObjectCommand,
  type RestoreStatus,
  S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import type { z } from 'zod';
import { NgbakError } from '../core/errors.ts';
import { parseInput, parseJson } from '../core/input.ts';
import type { Json } from '../core/json.ts';
import { retry } from '../core/retry.ts';
import { awsClient } from './clients.ts';
import { KeyPrefix, putPrefix } from './key-prefix.ts';
import { abortMultiparts, listMultiparts, type UnfinishedUpload } from './multipart.ts';
import { readS3Text, sendS3 } from './send-s3.ts';

/** Largest JSON object that ngbak reads from its own bucket, in bytes: records are small by design. */
const RECORD_BYTES_MAX = 4 * 1024 * 1024;
/** S3's limit for one DeleteObjects call. */
const DELETE_BATCH = 1000;

/**
 * Conditional calls. 412: the precondition failed. 409: another conditional write of the same key was in progress.
 * 404: If-Match for an object that no longer exists. Retried by the SDK only.
 */
const CONDITIONAL = { attempts: 1, expected: [412, 409, 404] };
/** How often a read-modify-write is retried if others write the same record. */
const CONFLICTS = { attempts: 10, firstMs: 40, longestMs: 250 };

/** A conditional write found the object in a state that its caller did not expect. */
export class ConflictError extends NgbakError {}

/** The required state of the object before a conditional write: absent, or with exactly this ETag. */
export type Precondition = { absent: true } | { etag: string };

/** An object in a listing. */
export interface ListedObject {
  readonly key: string;
  readonly size: number;
  readonly etag: string;
  readonly modified: Date | undefined;
  readonly storageClass: string;
  /** Whether the object is being thawed, or is thawed. Absent otherwise. */
  readonly restore: RestoreStatus | undefined;
}

/** A version of an object in a listing. */
export interface ListedVersion {
  readonly key: string;
  readonly size: number;
  readonly storageClass: string;
  /** False for a version that was replaced or deleted. */
  readonly latest: boolean;
  readonly modified: Date | undefined;
}

/** Where a listing of versions continues. */
export interface VersionMarker {
  readonly key: string;
  readonly version?: string | undefined;
}

/** The archive bucket: small JSON records with conditional writes, and removal of whole prefixes. */
export class Bucket {
  readonly name: string;
  /** Adds {@link prefix} to all keys of this bucket, and removes it from the keys in responses. */
  readonly s3: S3Client;
  /** The prefix of all keys of the deployment in S3: '', or a prefix that ends in `/`. */
  readonly prefix: string;

  /** @param place  name of the bucket, or `name/prefix` */
  constructor(place: string, s3: S3Client = awsClient('s3', S3Client)) {
    const [name = '', ...folders] = place.split('/');
    this.name = name;
    this.s3 = s3;
    this.prefix =
      folders.length === 0 ? '' : `${parseInput(KeyPrefix, folders.join('/'), 'The prefix in the bucket')}/`;
    if (this.prefix !== '') putPrefix(s3, name, this.prefix);
  }

  /** The bucket with the prefix: the part of an `s3://` address before `/` and the key. */
  get place(): string {
    return `${this.name}/${this.prefix}`.replace(/\/$/, '');
  }

  /** The full key in S3, for callers that do not use {@link s3}. */
  fullKey(key: string): string {
    return this.prefix + key;
  }

  /** The key without the prefix, for full keys from outside of ngbak; undefined if the key is not below the prefix. */
  ownKey(fullKey: string): string | undefined {
    return fullKey.startsWith(this.prefix) ? fullKey.slice(this.prefix.length) : undefined;
  }

  /** Scheme and host of its presigned URLs, which a web page must be allowed to call. */
  async origin(): Promise<string> {
    // Sends nothing: only the SDK knows how endpoint, region and name form a URL.
    const url = await getSignedUrl(this.s3, new GetObjectCommand({ Bucket: this.name, Key: 'any' }));
    return new URL(url).origin;
  }

  /** Reads and validates a record. Undefined if there is none. */
  async readRecord<T>(
    key: string,
    schema: z.ZodType<T>,
    bytesMax = RECORD_BYTES_MAX,
  ): Promise<{ value: T; etag: string } | undefined> {
    const object = { Bucket: this.name, Key: key };
    const found = await readS3Text(this.s3, object, { bytesMax, expected: ['NoSuchKey'] }).catch((error) => {
      if (!(error instanceof NoSuchKey)) throw error;
      return undefined;
    });
    if (!found) return undefined;
    if (found.bytes > bytesMax) {
      throw new NgbakError(`Record s3://${this.place}/${key} has ${found.bytes} bytes.`, {
        remedy: `Records have at most ${bytesMax} bytes: find out who wrote this object.`,
      });
    }
    return { value: parseJson(schema, found.text, `Record s3://${this.place}/${key}`), etag: found.etag };
  }

  /** Reads a record that must exist. */
  async requireRecord<T>(
    key: string,
    schema: z.ZodType<T>,
    remedy: string,
    bytesMax = RECORD_BYTES_MAX,
  ): Promise<T> {
    const record = await this.readRecord(key, schema, bytesMax);
    if (record) return record.value;
    throw new NgbakError(`s3://${this.place}/${key} does not exist.`, { remedy });
  }

  /** Writes a record. Throws ConflictError, and writes nothing, if the precondition does not hold. */
  async writeRecord(key: string, value: Json | object, precondition?: Precondition): Promise<void> {
    const command = new PutObjectCommand({
      Bucket: this.name,
      Key: key,
      Body: `${JSON.stringify(value, null, 2)}\n`,
      ContentType: 'application/json',
      ...(precondition && 'absent' in precondition ? { IfNoneMatch: '*' } : {}),
      ...(precondition && 'etag' in precondition ? { IfMatch: precondition.etag } : {}),
    });
    if (precondition)
      await sendS3(this.s3, 'write', command, CONDITIONAL).catch((error) => this.#conflict(error, key));
    else await sendS3(this.s3, 'write', command);
  }

  /** Writes a record unless there is one already: the record of a step's first attempt is kept. */
  async writeOnce(key: string, value: Json | object): Promise<void> {
    try {
      await this.writeRecord(key, value, { absent: true });
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error;
    }
  }

  /**
   * Changes a record by compare and swap. `change` receives the current record, undefined if there is none, and may
   * be called again if the record was changed concurrently; it returns undefined to leave the record unchanged.
   * Returns the resulting record. Throws ConflictError if the conflicts persist.
   */
  async updateRecord<T extends object>(
    key: string,
    schema: z.ZodType<T>,
    change: (record: T | undefined) => T | undefined,
  ): Promise<T | undefined> {
    return retry(
      async () => {
        const found = await this.readRecord(key, schema);
        const changed = change(found?.value);
        if (changed === undefined) return found?.value;
        await this.writeRecord(key, changed, found ? { etag: found.etag } : { absent: true });
        return changed;
      },
      { ...CONFLICTS, isTransient: (error) => error instanceof ConflictError },
    );
  }

  /** Removes a record that still has this ETag; otherwise throws ConflictError and removes nothing. */
  async removeRecord(key: string, etag: string): Promise<void> {
    const command = new DeleteObjectCommand({ Bucket: this.name, Key: key, IfMatch: etag });
    await sendS3(this.s3, 'delete', command, CONDITIONAL).catch((error) => this.#conflict(error, key));
  }

  /** Explains why a conditional call was rejected; rethrows other errors. */
  #conflict(error: unknown, key: string): never {
    const status = error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined;
    if (!CONDITIONAL.expected.includes(status ?? 0)) throw error;
    throw new ConflictError(`s3://${this.place}/${key} was modified concurrently.`, {
      remedy: 'Reload it and try again.',
      cause: error,
    });
  }

  /** The keys below a prefix, page by page, in the order of their UTF-8 bytes. */
  async *keys(prefix: string): AsyncGenerator<ListedObject> {
    let token: string | undefined;
    do {
      const command = new ListObjectsV2Command({
        Bucket: this.name,
        Prefix: prefix,
        ContinuationToken: token,
        OptionalObjectAttributes: ['RestoreStatus'],
      });
      const page = await sendS3(this.s3, 'list', command);
      for (const { Key, Size, ETag, LastModified, StorageClass, RestoreStatus } of page.Contents ?? []) {
        if (Key === undefined) continue;
        yield {
          ...{ key: Key, size: Size ?? 0, etag: ETag ?? '', modified: LastModified },
          storageClass: StorageClass ?? 'STANDARD',
          restore: RestoreStatus,
        };
      }
      token = page.NextContinuationToken;
    } while (token !== undefined);
  }

  /** The names of the folders directly below a prefix, without it and without their `/`, in the order of their bytes. */
  async *folders(prefix: string): AsyncGenerator<string> {
    let token: string | undefined;
    do {
      const command = new ListObjectsV2Command({
        Bucket: this.name,
        Prefix: prefix,
        Delimiter: '/',
        ContinuationToken: token,
      });
      const page = await sendS3(this.s3, 'list', command);
      for (const { Prefix } of page.CommonPrefixes ?? []) {
        if (Prefix !== undefined) yield Prefix.slice(prefix.length, -1);
      }
      token = page.NextContinuationToken;
    } while (token !== undefined);
  }

  /**
   * One page of all versions below a prefix, without delete markers, and where the next page starts: at most a thousand,
   * so that the memory of a caller does not depend on the number of objects.
   */
  async versionsPage(
    prefix: string,
    after: VersionMarker | undefined,
  ): Promise<{ versions: ListedVersion[]; next: VersionMarker | undefined }> {
    const page: ListObjectVersionsCommandOutput = await sendS3(
      this.s3,
      'list',
      new ListObjectVersionsCommand({
        ...{ Bucket: this.name, Prefix: prefix, KeyMarker: after?.key },
        ...(after?.version === undefined ? {} : { VersionIdMarker: after.version }),
      }),
    );
    const versions = (page.Versions ?? []).flatMap(
      ({ Key, Size = 0, StorageClass = 'STANDARD', IsLatest = true, LastModified }) =>
        Key === undefined
          ? []
          : [{ key: Key, size: Size, storageClass: StorageClass, latest: IsLatest, modified: LastModified }],
    );
    const { IsTruncated, NextKeyMarker, NextVersionIdMarker } = page;
    return {
      versions,
      next:
        IsTruncated && NextKeyMarker !== undefined
          ? { key: NextKeyMarker, version: NextVersionIdMarker }
          : undefined,
    };
  }

  /** Every version of one object, newest first, without delete markers. `versionId` is absent in a bucket without versions. */
  async *versions(key: string): AsyncGenerator<{ versionId: string | undefined; size: number }> {
    let marker: { KeyMarker?: string | undefined; VersionIdMarker?: string | undefined } | undefined = {};
    do {
      const page: ListObjectVersionsCommandOutput = await sendS3(
        this.s3,
        'list',
        new ListObjectVersionsCommand({ Bucket: this.name, Prefix: key, ...marker }),
      );
      for (const { Key, VersionId, Size } of page.Versions ?? []) {
        if (Key === key) yield { versionId: VersionId, size: Size ?? 0 };
      }
      marker = page.IsTruncated
        ? { KeyMarker: page.NextKeyMarker, VersionIdMarker: page.NextVersionIdMarker }
        : undefined;
    } while (marker !== undefined);
  }

  /**
   * Removes every version of every object below a prefix, or of a single object if `prefix` is a whole key. Returns
   * the number of versions removed. Idempotent.
   */
  async removeAll(prefix: string): Promise<number> {
    let removed = 0;
    for (;;) {
      const page = await sendS3(
        this.s3,
        'list',
        new ListObjectVersionsCommand({ Bucket: this.name, Prefix: prefix, MaxKeys: DELETE_BATCH }),
      );
      const Objects = [...(page.Versions ?? []), ...(page.DeleteMarkers ?? [])].flatMap(
        ({ Key, VersionId }) =>
          Key === undefined ? [] : [{ Key, ...(VersionId === undefined ? {} : { VersionId }) }],
      );
      if (Objects.length === 0) return removed;
      const answer = await sendS3(
        this.s3,
        'delete',
        new DeleteObjectsCommand({ Bucket: this.name, Delete: { Objects, Quiet: true } }),
      );
      const refused = answer.Errors?.[0];
      if (refused) {
        throw new NgbakError(
          `s3://${this.place}/${refused.Key} can't be deleted: ${refused.Code} ${refused.Message}.`,
          { remedy: 'Check Object Lock and the permissions of this function.' },
        );
      }
      removed += Objects.length;
    }
  }

  /**
   * Aborts every unfinished multipart upload below a prefix; their parts would be billed until the lifecycle rule
   * removes them. Returns their number. Idempotent.
   */
  abortUploads(prefix: string): Promise<number> {
    return abortMultiparts(this.s3, this.name, prefix);
  }

  /** Every unfinished multipart upload below a prefix. */
  uploads(prefix: string): AsyncGenerator<UnfinishedUpload> {
    return listMultiparts(this.s3, this.name, prefix);
  }

  /** Removes one version of an object, or the object if the bucket has no versions. Idempotent. */
  async removeVersion({ key, version_id }: { key: string; version_id?: string | undefined }): Promise<void> {
    await sendS3(
      this.s3,
      'delete',
      new DeleteObjectCommand({
        Bucket: this.name,
        Key: key,
        ...(version_id === undefined ? {} : { VersionId: version_id }),
      }),
    );
  }
}
