import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import {
  type _Object,
  CreateMultipartUploadCommand,
  type CreateMultipartUploadCommandOutput,
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { z } from 'zod';
import { awsClient } from '../../aws/clients.ts';
import { abortMultipart, listMultiparts } from '../../aws/multipart.ts';
import { sendS3 } from '../../aws/send-s3.ts';
import { AccessDeniedError } from '../../core/errors.ts';
import type { Json } from '../../core/json.ts';
import { FileChangedError, folderError } from './errors.ts';
import type { BegunWrite, FileInfo, Folder, Listing } from './folder.ts';
import { ListingBuilder } from './listing.ts';
import { isPlainPath } from './names.ts';
import { compareFiles } from './order.ts';
import { DIRECT, type Selection } from './selection.ts';

/** Minimum size of a part of a multipart upload in bytes, and maximum number of parts: limits of S3. */
const PART_BYTES_MIN = 5 * 1024 ** 2;
const PARTS_MAX = 10_000;
/** Number of parts uploaded concurrently. */
const QUEUE_SIZE = 3;
/** Errors that {@link folderError} explains in terms of the folder and its configuration. */
const EXPLAINED = ['NoSuchBucket', 'AccessDenied', 'Forbidden', '403'];

/** The objects under a prefix in S3. */
export class S3Folder implements Folder {
  readonly name: string;
  readonly edition = 's3';
  readonly writesAreAtomic = true;
  readonly #s3: S3Client;
  readonly #bucket: string;
  readonly #prefix: string;

  /** @param prefix '' or one that ends in `/` */
  constructor(bucket: string, prefix: string, target: string, region?: string) {
    this.#s3 = awsClient('s3', S3Client, region === undefined ? {} : { region });
    this.#bucket = bucket;
    this.#prefix = prefix;
    this.name = `Folder s3://${bucket}/${prefix} of target "${target}"`;
  }

  async list(selection: Selection = DIRECT, sample?: number): Promise<Listing> {
    const listing = new ListingBuilder(this.name, selection, sample);
    try {
      await this.#walk('', listing);
    } catch (error) {
      throw folderError(this.name, 'listing it', error);
    }
    return listing.end();
  }

  /** Lists a folder, and then its subfolders, so that folders which are left out cost one key each. */
  async #walk(folder: string, listing: ListingBuilder): Promise<void> {
    const entered: string[] = [];
    let token: string | undefined;
    do {
      const page = await sendS3(
        this.#s3,
        'list',
        new ListObjectsV2Command({
          Bucket: this.#bucket,
          Prefix: this.#prefix + folder,
          Delimiter: '/',
          ContinuationToken: token,
        }),
        { expected: EXPLAINED },
      );
      for (const object of page.Contents ?? []) {
        const file = this.#infoOf(object);
        // Consoles represent a folder as an empty object with its name.
        if (file.name === folder && file.size === 0) continue;
        if (listing.accepts(file.name) && listing.wants(file.name)) listing.add(file);
      }
      for (const { Prefix = '' } of page.CommonPrefixes ?? []) {
        const subfolder = Prefix.slice(this.#prefix.length, -1);
        if (listing.accepts(subfolder) && listing.folder(subfolder)) entered.push(subfolder);
      }
      token = listing.isFull ? undefined : page.NextContinuationToken;
    } while (token !== undefined);
    for (const subfolder of entered.sort(compareFiles)) await this.#walk(`${subfolder}/`, listing);
  }

  async find(name: string): Promise<FileInfo | undefined> {
    if (!isPlainPath(name)) return undefined;
    const key = this.#prefix + name;
    try {
      // The key itself sorts before all other keys that begin with it.
      const command = new ListObjectsV2Command({ Bucket: this.#bucket, Prefix: key, MaxKeys: 1 });
      const { Contents = [] } = await sendS3(this.#s3, 'list', command, { expected: EXPLAINED });
      const found = Contents[0];
      return found?.Key === key ? this.#infoOf(found) : undefined;
    } catch (error) {
      throw folderError(this.name, 'listing it', error);
    }
  }

  #infoOf({ Key = '', Size = 0, ETag = '', LastModified }: _Object): FileInfo {
    const name = Key.slice(this.#prefix.length);
    return { name, size: Size, version: ETag, changedAt: LastModified?.getTime() ?? 0 };
  }

  stat(name: string): Promise<FileInfo | undefined> {
    return this.find(name);
  }

  async *read(file: FileInfo, offset: number, length: number): AsyncGenerator<Uint8Array> {
    if (length === 0) return;
    try {
      const { Body } = await sendS3(
        this.#s3,
        'read',
        new GetObjectCommand({
          Bucket: this.#bucket,
          Key: this.#prefix + file.name,
          IfMatch: file.version,
          Range: `bytes=${offset}-${offset + length - 1}`,
        }),
        { expected: [404, 412, 416, ...EXPLAINED] },
      );
      let received = 0;
      for await (const chunk of Body as Readable) {
        received += (chunk as Uint8Array).length;
        yield chunk as Uint8Array;
      }
      if (received !== length) throw new FileChangedError(this.name, file.name);
    } catch (error) {
      if ([404, 412, 416].includes(statusOf(error) ?? 0)) throw new FileChangedError(this.name, file.name);
      throw folderError(this.name, `reading "${file.name}"`, error);
    }
  }

  async write(
    name: string,
    content: AsyncIterable<Uint8Array>,
    size: number,
    { absent, signal, onBegin }: Parameters<Folder['write']>[3],
  ): Promise<boolean> {
    const upload = new Upload({
      client: onBegin ? reportUploads(this.#s3, onBegin) : this.#s3,
      params: {
        Bucket: this.#bucket,
        Key: this.#prefix + name,
        Body: Readable.from(content, { objectMode: false }),
        ...(absent ? { IfNoneMatch: '*' } : {}),
      },
      partSize: Math.max(PART_BYTES_MIN, Math.ceil(size / PARTS_MAX)),
      queueSize: QUEUE_SIZE,
    });
    const abort = () => {
      // A failed abort surfaces in the upload's own promise, which is awaited below.
      upload.abort().catch(() => undefined);
    };
    signal.addEventListener('abort', abort, { once: true });
    try {
      await upload.done();
      return true;
    } catch (error) {
      if (absent && statusOf(error) === 412) return false;
      throw folderError(this.name, `writing "${name}"`, error);
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  async remove(name: string): Promise<void> {
    try {
      await sendS3(
        this.#s3,
        'delete',
        new DeleteObjectCommand({ Bucket: this.#bucket, Key: this.#prefix + name }),
        { expected: EXPLAINED },
      );
    } catch (error) {
      throw folderError(this.name, `deleting "${name}"`, error);
    }
  }

  /** Buckets have no limit. */
  free(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  /** Does nothing: interrupted uploads are not objects. {@link discard} aborts them. */
  async tidy(): Promise<void> {
    return Promise.resolve();
  }

  async discard(begun: unknown): Promise<void> {
    const { data } = BegunUpload.safeParse(begun);
    if (data?.bucket !== this.#bucket || !data.key.startsWith(this.#prefix)) return;
    const { bucket, key, upload_id: uploadId, others, by } = data;
    try {
      if (uploadId !== undefined) await abortMultipart({ s3: this.#s3, bucket, key, uploadId });
      if (others === undefined) return;
      for await (const upload of listMultiparts(this.#s3, bucket, key)) {
        const isOther = upload.key !== key || others.includes(upload.uploadId);
        if (!isOther && !isBegunByOther(upload.initiator, by)) await abortMultipart(upload);
      }
    } catch (error) {
      throw folderError(this.name, 'aborting an unfinished upload', error);
    }
  }

  async close(): Promise<void> {
    this.#s3.destroy();
    return Promise.resolve();
  }
}

/**
 * A multipart upload, recorded until its job has ended. Its ID is known once S3 has answered. If the answer is lost,
 * the upload is found by its key: it is the one that is not in `others`, the uploads of that key that already existed.
 */
const BegunUpload = z.object({
  bucket: z.string(),
  key: z.string(),
  upload_id: z.string().optional(),
  others: z.array(z.string()).optional(),
  /** Name of the function that started it. */
  by: z.string().optional(),
});

/** Maximum number of unfinished uploads of one key to record, because the records of a job are read together. */
const OTHERS_MAX = 10;

/**
 * Creates a client that reports every multipart upload twice: before it starts, so that it can be found if the answer
 * is lost, and with its ID before the first part is sent.
 */
function reportUploads(s3: S3Client, onBegin: (begun: BegunWrite) => Promise<void>): S3Client {
  const send = async (command: object, ...rest: unknown[]): Promise<unknown> => {
    const call = (): Promise<unknown> => Reflect.apply(s3.send, s3, [command, ...rest]);
    if (!(command instanceof CreateMultipartUploadCommand)) return call();
    const { Bucket: bucket = '', Key: key = '' } = command.input;
    const id = randomBytes(16).toString('hex');
    const report = (begun: Record<string, Json>) => onBegin({ id, value: { bucket, key, ...begun } });
    const others = await unfinishedUploads(s3, bucket, key);
    const by = process.env.AWS_LAMBDA_FUNCTION_NAME;
    const identity = others && { others, ...(by === undefined ? {} : { by }) };
    if (identity) await report(identity);
    const output = (await call()) as CreateMultipartUploadCommandOutput;
    // If there were several attempts, an earlier one may also have started an upload.
    const isOnly = output.$metadata.attempts === 1;
    await report({ upload_id: output.UploadId ?? '', ...(isOnly ? {} : identity) });
    return output;
  };
  return new Proxy(s3, { get: (client, name) => (name === 'send' ? send : Reflect.get(client, name)) });
}

/** The unfinished uploads of a key; undefined if they cannot be listed, or are too many to record. */
async function unfinishedUploads(s3: S3Client, bucket: string, key: string): Promise<string[] | undefined> {
  const found: string[] = [];
  try {
    for await (const upload of listMultiparts(s3, bucket, key)) {
      if (upload.key === key) found.push(upload.uploadId);
      if (found.length > OTHERS_MAX) return undefined;
    }
  } catch (error) {
    // Not essential to the restore, and the policy of a user's bucket may not allow it.
    if (error instanceof AccessDeniedError) return undefined;
    throw error;
  }
  return found;
}

/** Whether S3 names a principal other than that function as the initiator of an upload. */
function isBegunByOther(initiator: string | undefined, by: string | undefined): boolean {
  if (initiator === undefined || by === undefined) return false;
  // The session name of a function's role is the name of the function. S3 may also report only an account.
  const session = /:assumed-role\/[^/]+\/(.+)$/.exec(initiator)?.[1];
  return session === undefined ? /:user\//.test(initiator) : session !== by;
}

function statusOf(error: unknown): number | undefined {
  return error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined;
}
