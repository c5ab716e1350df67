import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { CreateBucketCommand, DeleteBucketCommand, DeleteObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { filesAdapter } from '../../../shared/stores/files/adapter.ts';
import { openFolder } from '../../../shared/stores/files/connection.ts';
import { selectionOf } from '../../../shared/stores/files/selection.ts';
import type { Store } from '../../../shared/stores/store.ts';
import { servers } from '../../servers.ts';

/** The modification time of files that are not being written. */
export const OLD = new Date('2026-01-01T00:00:00Z');
const EVERYTHING = selectionOf({ include: ['**'], exclude: [] });

/** A folder of a knowledge base, for tests. Paths are relative to it. */
export interface Place {
  location: string;
  put(name: string, content: Buffer): Promise<void>;
  read(): Promise<Record<string, Buffer>>;
  remove(name: string): Promise<void>;
  destroy(): Promise<void>;
}

/** A mounted folder. Its files have an old modification time. */
export async function directory(): Promise<Place> {
  const path = await mkdtemp(join(tmpdir(), 'ngbak-files-'));
  return {
    location: path,
    put: async (name, content) => {
      await mkdir(dirname(join(path, name)), { recursive: true });
      await writeFile(join(path, name), content);
      await utimes(join(path, name), OLD, OLD);
    },
    read: async () => {
      const entries = await readdir(path, { withFileTypes: true, recursive: true });
      const paths = entries
        .filter((entry) => entry.isFile())
        .map(({ parentPath, name }) => join(parentPath, name));
      return Object.fromEntries(
        await Promise.all(
          paths.map(async (file) => [file.slice(path.length + 1), await readFile(file)] as const),
        ),
      );
    },
    remove: (name) => rm(join(path, name)),
    destroy: () => rm(path, { recursive: true }),
  };
}

/** A prefix in a new bucket. */
export async function bucket(): Promise<Place> {
  const s3 = new S3Client({ endpoint: servers.aws.endpoint });
  const Bucket = `files-${randomBytes(6).toString('hex')}`;
  await s3.send(new CreateBucketCommand({ Bucket }));
  const location = `s3://${Bucket}/working dir/rag`;
  const folder = openFolder({ location }, { folder: '' }, 'test');
  const signal = new AbortController().signal;
  const place: Place = {
    location,
    put: async (name, content) => {
      await folder.write(name, chunks(content), content.length, { absent: false, signal });
    },
    read: async () => {
      const content: Record<string, Buffer> = {};
      for (const file of (await folder.list(EVERYTHING)).files) {
        const parts: Uint8Array[] = [];
        for await (const part of folder.read(file, 0, file.size)) parts.push(part);
        content[file.name] = Buffer.concat(parts);
      }
      return content;
    },
    remove: (name) => folder.remove(name),
    destroy: async () => {
      for (const name of Object.keys(await place.read())) await folder.remove(name);
      await s3.send(new DeleteObjectCommand({ Bucket, Key: 'working dir/rag/' }));
      await s3.send(new DeleteBucketCommand({ Bucket }));
      await folder.close();
      s3.destroy();
    },
  };
  return place;
}

async function* chunks(content: Buffer): AsyncGenerator<Uint8Array> {
  yield content;
}

/** The kinds of places, for `describe.each`. */
export const PLACES: readonly [string, () => Promise<Place>][] = [
  ['a mounted folder', directory],
  ['a prefix in S3', bucket],
];

/** Stores of files that a test opens. */
export class OpenStores {
  readonly #opened: Store[] = [];

  open(location: string, scope: object = {}): Store {
    const store = filesAdapter.create({ location }, filesAdapter.Scope.parse(scope), { target: 'test' });
    this.#opened.push(store);
    return store;
  }

  async close(): Promise<void> {
    for (const store of this.#opened.splice(0)) await store.close();
  }
}
