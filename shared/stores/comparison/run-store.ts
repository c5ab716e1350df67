import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PutObjectCommand } from '@aws-sdk/client-s3';
import { objectSource } from '../../archive/read/sources.ts';
import type { Bucket } from '../../aws/bucket.ts';
import { comparisonRunKey } from '../../aws/keys.ts';
import { sendS3 } from '../../aws/send-s3.ts';

/** Where the sorted runs of a comparison are kept. */
export interface RunStore {
  /** Writes a run, replacing an earlier one with its number. */
  write(number: number, run: Uint8Array): Promise<RunPlace>;
  /** Reads `length` bytes of a run. */
  read(number: number, place: RunPlace, offset: number, length: number): Promise<Buffer>;
}

/** What identifies the content of a run. */
export interface RunPlace {
  readonly bytes: number;
  readonly etag: string;
}

/** Keeps runs in the bucket, under `staging/<id>/`, so that another invocation can continue. */
export class StagedRuns implements RunStore {
  readonly #bucket: Bucket;
  readonly #id: string;
  readonly #name: string;

  /** @param id the job, or the id under which an operation stages its intermediate results */
  constructor(bucket: Bucket, id: string, name: string) {
    this.#bucket = bucket;
    this.#id = id;
    this.#name = name;
  }

  async write(number: number, run: Uint8Array): Promise<RunPlace> {
    const { s3, name: Bucket } = this.#bucket;
    const Key = comparisonRunKey(this.#id, this.#name, number);
    const { ETag = '' } = await sendS3(s3, 'write', new PutObjectCommand({ Bucket, Key, Body: run }));
    return { bytes: run.length, etag: ETag };
  }

  async read(number: number, { bytes, etag }: RunPlace, offset: number, length: number): Promise<Buffer> {
    const { s3, name: bucket } = this.#bucket;
    const key = comparisonRunKey(this.#id, this.#name, number);
    const chunks: Uint8Array[] = [];
    for await (const chunk of objectSource(s3, { bucket, key, size: bytes, etag }).read(offset, length)) {
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  }
}

/** Keeps runs in a temporary folder, for a comparison that one process carries out. */
export class FolderRuns implements RunStore {
  #folder: Promise<string> | undefined;

  async write(number: number, run: Uint8Array): Promise<RunPlace> {
    this.#folder ??= mkdtemp(join(tmpdir(), 'ngbak-compare-'));
    await writeFile(join(await this.#folder, String(number)), run);
    return { bytes: run.length, etag: '' };
  }

  async read(number: number, _place: RunPlace, offset: number, length: number): Promise<Buffer> {
    const file = await open(join((await this.#folder) ?? '', String(number)));
    try {
      const buffer = Buffer.allocUnsafe(length);
      const { bytesRead } = await file.read(buffer, 0, length, offset);
      return buffer.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  }

  /** Removes the folder. */
  async close(): Promise<void> {
    if (this.#folder !== undefined) await rm(await this.#folder, { recursive: true, force: true });
    this.#folder = undefined;
  }
}
