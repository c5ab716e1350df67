import {
  AbortMultipartUploadCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandOutput,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  type ListObjectVersionsCommandOutput,
  NoSuchKey,
  NoSuchUpload,
  PutObjectCommand,
  S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import type { z } from 'zod';
import { NgbakError } from '../core/errors.ts';
import { parseJson } from '../core/input.ts';
import type { Json } from '../core/json.ts';
import { awsClient } from './clients.ts';
import { explainS3Error } from './s3-error.ts';

/** Largest JSON object that ngbak reads from its own bucket, in bytes: records are small by design. */
const RECORD_BYTES_MAX = 4 * 1024 * 1024;
/** S3's limit for one DeleteObjects call. */
const DELETE_BATCH = 1000;

/** A conditional write found the object in another state than its caller expected. */
export class ConflictError extends NgbakError {}

/** How a conditional write is to find the object: absent, or with exactly this ETag. */
export type Precondition = { absent: true } | { etag: string };

/** The archive bucket: small JSON records with conditional writes, and removal of whole prefixes. */
export class Bucket {
  readonly name: string;
  readonly s3: S3Client;

  constructor(name: string, s3: S3Client = awsClient('s3', S3Client)) {
    this.name = name;
    this.s3 = s3;
  }

  /** Scheme and host of its presigned URLs: what a web page must be allowed to call. */
  async origin(): Promise<string> {
    // Nothing is sent: how endpoint, region and name make an address is for the SDK to know.
    const url = await getSignedUrl(this.s3, new GetObjectCommand({ Bucket: this.name, Key: 'any' }));
    return new URL(url).origin;
  }

  /** Reads and checks a record. Undefined where there is none. */
  async readRecord<T>(
    key: string,
    schema: z.ZodType<T>,
    bytesMax = RECORD_BYTES_MAX,
  ): Promise<{ value: T; etag: string } | undefined> {
    try {
      const answer = await this.s3.send(new GetObjectCommand({ Bucket: this.name, Key: key }));
      if ((answer.ContentLength ?? 0) > bytesMax) {
        throw new NgbakError(`Record s3://${this.name}/${key} has ${answer.ContentLength} bytes.`, {
          remedy: `Records have at most ${bytesMax} bytes: find out who wrote this object.`,
        });
      }
      const text = (await answer.Body?.transformToString('utf-8')) ?? '';
      return { value: parseJson(schema, text, `Record s3://${this.name}/${key}`), etag: answer.ETag ?? '' };
    } catch (error) {
      if (error instanceof NoSuchKey) return undefined;
      throw this.#explain(error, 'read', key);
    }
  }

  /** Reads a record that must be there. */
  async requireRecord<T>(
    key: string,
    schema: z.ZodType<T>,
    remedy: string,
    bytesMax = RECORD_BYTES_MAX,
  ): Promise<T> {
    const record = await this.readRecord(key, schema, bytesMax);
    if (record) return record.value;
    throw new NgbakError(`s3://${this.name}/${key} does not exist.`, { remedy });
  }

  /** Writes a record. With a precondition that does not hold it throws ConflictError and writes nothing. */
  async writeRecord(key: string, value: Json | object, precondition?: Precondition): Promise<void> {
    try {
      await this.s3.send(
        new PutObjectCommand({
          Bucket: this.name,
          Key: key,
          Body: `${JSON.stringify(value, null, 2)}\n`,
          ContentType: 'application/json',
          ...(precondition && 'absent' in precondition ? { IfNoneMatch: '*' } : {}),
          ...(precondition && 'etag' in precondition ? { IfMatch: precondition.etag } : {}),
        }),
      );
    } catch (error) {
      const status = error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined;
      // 412: the precondition failed. 409: another conditional write of the same key was under way. 404: If-Match, gone.
      if (precondition && (status === 412 || status === 409 || status === 404)) {
        throw new ConflictError(`s3://${this.name}/${key} was modified concurrently.`, {
          remedy: 'Reload it and try again.',
          cause: error,
        });
      }
      throw this.#explain(error, 'write', key);
    }
  }

  /** Removes a record that still has that ETag; throws ConflictError, and removes nothing, where it has another. */
  async removeRecord(key: string, etag: string): Promise<void> {
    try {
      await this.s3.send(new DeleteObjectCommand({ Bucket: this.name, Key: key, IfMatch: etag }));
    } catch (error) {
      const status = error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined;
      if (status !== 412 && status !== 409 && status !== 404) throw this.#explain(error, 'delete', key);
      throw new ConflictError(`s3://${this.name}/${key} was modified concurrently.`, {
        remedy: 'Reload it and try again.',
        cause: error,
      });
    }
  }

  /** The keys below a prefix, page by page, in the order of their UTF-8 bytes. */
  async *keys(
    prefix: string,
  ): AsyncGenerator<{ key: string; size: number; etag: string; modified: Date | undefined }> {
    let token: string | undefined;
    do {
      const page = await this.s3
        .send(new ListObjectsV2Command({ Bucket: this.name, Prefix: prefix, ContinuationToken: token }))
        .catch((error) => {
          throw this.#explain(error, 'list', prefix);
        });
      for (const { Key, Size, ETag, LastModified } of page.Contents ?? []) {
        if (Key !== undefined) yield { key: Key, size: Size ?? 0, etag: ETag ?? '', modified: LastModified };
      }
      token = page.NextContinuationToken;
    } while (token !== undefined);
  }

  /** The names of the folders directly below a prefix, without it and without their `/`, in the order of their bytes. */
  async *folders(prefix: string): AsyncGenerator<string> {
    let token: string | undefined;
    do {
      const page = await this.s3
        .send(
          new ListObjectsV2Command({
            Bucket: this.name,
            Prefix: prefix,
            Delimiter: '/',
            ContinuationToken: token,
          }),
        )
        .catch((error) => {
          throw this.#explain(error, 'list', prefix);
        });
      for (const { Prefix } of page.CommonPrefixes ?? []) {
        if (Prefix !== undefined) yield Prefix.slice(prefix.length, -1);
      }
      token = page.NextContinuationToken;
    } while (token !== undefined);
  }

  /** Every version of one object, newest first, without delete markers. `versionId` is absent in a bucket without versions. */
  async *versions(key: string): AsyncGenerator<{ versionId: string | undefined; size: number }> {
    let marker: { KeyMarker?: string | undefined; VersionIdMarker?: string | undefined } | undefined = {};
    do {
      const page: ListObjectVersionsCommandOutput = await this.s3
        .send(new ListObjectVersionsCommand({ Bucket: this.name, Prefix: key, ...marker }))
        .catch((error) => {
          throw this.#explain(error, 'list', key);
        });
      for (const { Key, VersionId, Size } of page.Versions ?? []) {
        if (Key === key) yield { versionId: VersionId, size: Size ?? 0 };
      }
      marker = page.IsTruncated
        ? { KeyMarker: page.NextKeyMarker, VersionIdMarker: page.NextVersionIdMarker }
        : undefined;
    } while (marker !== undefined);
  }

  /**
   * Removes every version of every object below a prefix, or of the one object where `prefix` is a whole key. Returns
   * how many versions went. Idempotent.
   */
  async removeAll(prefix: string): Promise<number> {
    let removed = 0;
    for (;;) {
      const page = await this.s3
        .send(new ListObjectVersionsCommand({ Bucket: this.name, Prefix: prefix, MaxKeys: DELETE_BATCH }))
        .catch((error) => {
          throw this.#explain(error, 'list', prefix);
        });
      const Objects = [...(page.Versions ?? []), ...(page.DeleteMarkers ?? [])].flatMap(
        ({ Key, VersionId }) =>
          Key === undefined ? [] : [{ Key, ...(VersionId === undefined ? {} : { VersionId }) }],
      );
      if (Objects.length === 0) return removed;
      const answer = await this.s3
        .send(new DeleteObjectsCommand({ Bucket: this.name, Delete: { Objects, Quiet: true } }))
        .catch((error) => {
          throw this.#explain(error, 'delete', prefix);
        });
      const refused = answer.Errors?.[0];
      if (refused) {
        throw new NgbakError(
          `s3://${this.name}/${refused.Key} can't be deleted: ${refused.Code} ${refused.Message}.`,
          { remedy: 'Check Object Lock and the permissions of this function.' },
        );
      }
      removed += Objects.length;
    }
  }

  /**
   * Aborts every unfinished multipart upload below a prefix, whose parts would be billed until the lifecycle rule. Returns
   * how many there were. Idempotent.
   */
  async abortUploads(prefix: string): Promise<number> {
    let aborted = 0;
    for await (const { key, id } of this.uploads(prefix)) {
      await this.abortUpload(key, id);
      aborted++;
    }
    return aborted;
  }

  /** Every unfinished multipart upload below a prefix. */
  async *uploads(prefix: string): AsyncGenerator<{ key: string; id: string; initiated: Date | undefined }> {
    let marker: { KeyMarker?: string | undefined; UploadIdMarker?: string | undefined } | undefined = {};
    do {
      const page: ListMultipartUploadsCommandOutput = await this.s3
        .send(new ListMultipartUploadsCommand({ Bucket: this.name, Prefix: prefix, ...marker }))
        .catch((error) => {
          throw this.#explain(error, 'list the uploads of', prefix);
        });
      for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
        if (Key !== undefined && UploadId !== undefined)
          yield { key: Key, id: UploadId, initiated: Initiated };
      }
      marker = page.IsTruncated
        ? { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker }
        : undefined;
    } while (marker !== undefined);
  }

  /** Aborts an unfinished multipart upload. Idempotent. */
  async abortUpload(key: string, id: string): Promise<void> {
    const upload = { Bucket: this.name, Key: key, UploadId: id };
    await this.s3.send(new AbortMultipartUploadCommand(upload)).catch((error) => {
      // Somebody else completed or aborted it.
      if (!(error instanceof NoSuchUpload)) throw this.#explain(error, 'abort the upload of', key);
    });
  }

  /** Removes one version of an object, or the object in a bucket without versions. Idempotent. */
  async removeVersion({ key, version_id }: { key: string; version_id?: string | undefined }): Promise<void> {
    await this.s3
      .send(
        new DeleteObjectCommand({
          Bucket: this.name,
          Key: key,
          ...(version_id === undefined ? {} : { VersionId: version_id }),
        }),
      )
      .catch((error) => {
        throw this.#explain(error, 'delete', key);
      });
  }

  #explain(error: unknown, verb: string, key: string): Error {
    return explainS3Error(error, verb, `s3://${this.name}/${key}`);
  }
}
