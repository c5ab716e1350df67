import { mkdir, mkdtemp, readdir, readFile, rename, rm, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { catalogKey } from '../../shared/aws/keys.ts';
import { CatalogRecord } from '../../shared/catalog/record.ts';
import { NIGHTLY } from '../nightly.ts';
import { until } from '../support/until.ts';
import { BusyModel, isOdd } from './busy-model.ts';
import { BUSY_FILES, secretName } from './context.ts';
import { deployedStack } from './harness.ts';

/** Backups of files during writes, each restored into another folder; busy.test.ts covers the other stores. */
const BACKUPS = NIGHTLY ? 100 : 1;
const PACE_MS = 60;
/** A writer of a file that is never unchanged for a second, but long enough to be read. */
const IN_PLACE_PACE_MS = 300;
/** A file that has not changed for a second is complete for a backup, in milliseconds, less what a clock may differ. */
const STILL_MS = 900;
/** A file above 8 MiB is streamed, and the repeated step reads it again from its beginning. */
const LARGE_PACE_MS = 4000;
const LARGE_BYTES = 9 * 1024 ** 2;
/** New files, and the interval at which a new one replaces the oldest. */
const NEW_FILES = 25;
const NEW_PACE_MS = 300;
/** Steps after which an appended file starts over. */
const GROWN = 300;

const stack = deployedStack();
const { s3 } = stack.bucket;
const Bucket = BUSY_FILES;

/** Location of the files: a prefix of the bucket, or a folder. */
interface Place {
  readonly location: string;
  put(name: string, content: string): Promise<unknown>;
  remove(name: string): Promise<unknown>;
  read(): Promise<Map<string, string>>;
}

function prefixIn(prefix: string): Place {
  const keyOf = (name: string) => `${prefix}/${name}`;
  return {
    location: `s3://${Bucket}/${prefix}`,
    put: (name, Body) => s3.send(new PutObjectCommand({ Bucket, Key: keyOf(name), Body })),
    remove: (name) => s3.send(new DeleteObjectCommand({ Bucket, Key: keyOf(name) })),
    async read() {
      const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket, Prefix: `${prefix}/` }));
      const found = new Map<string, string>();
      for (const { Key: key = '' } of Contents) {
        const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key: key }));
        found.set(key.slice(prefix.length + 1), (await Body?.transformToString()) ?? '');
      }
      return found;
    },
  };
}

let base: string;
async function folderOf(name: string): Promise<Place> {
  const location = join(base, name);
  await mkdir(location);
  return {
    location,
    // As careful writers do: readers see the old content or the new one.
    async put(file, content) {
      const temporary = join(base, `${name}-${file}.tmp`);
      await writeFile(temporary, content);
      await rename(temporary, join(location, file));
    },
    remove: (file) => unlink(join(location, file)),
    async read() {
      const names = await readdir(location);
      return new Map(
        await Promise.all(
          names.map(async (file) => [file, await readFile(join(location, file), 'utf8')] as const),
        ),
      );
    },
  };
}

beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), 'ngbak-busy-files-'));
  await s3.send(new CreateBucketCommand({ Bucket }));
});
afterAll(async () => {
  const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket }));
  for (const { Key } of Contents) await s3.send(new DeleteObjectCommand({ Bucket, Key }));
  await s3.send(new DeleteBucketCommand({ Bucket }));
  await rm(base, { recursive: true });
});

const document = (step: number) =>
  JSON.stringify({ [`doc-${step}`]: { content: String(step).padStart(8, '0').repeat(2000) } });
const appended = (step: number) => {
  let text = '';
  for (let from = step - (step % GROWN); from <= step; from++) text += `${from}\n`;
  return text;
};
const large = (step: number) =>
  String(step)
    .padStart(8, '0')
    .repeat(LARGE_BYTES / 8);

/**
 * @param waits  whether a backup waits for files to settle, for some seconds each: then, fewer of them change. Returns
 * the number of new ones.
 */
async function startWriters(model: BusyModel, { put, remove }: Place, waits: boolean) {
  // Overwritten with equal length.
  await model.start('kv_store_docs.json', PACE_MS, (step) => put('kv_store_docs.json', document(step)));
  await model.start('large.bin', LARGE_PACE_MS, (step) => put('large.bin', large(step)));
  if (!waits) await model.start('log.txt', PACE_MS, (step) => put('log.txt', appended(step)));
  for (const name of waits ? ['z-fleeting'] : ['a-fleeting', 'z-fleeting']) {
    await model.start(name, PACE_MS, (step) => (isOdd(step) ? remove(name) : put(name, document(step))), {
      isAbsent: isOdd,
    });
  }
  // They are read first, and exist for some seconds.
  let created = 0;
  await model.append('0-new-', NEW_PACE_MS, NEW_FILES, (number, step) => {
    if (step !== 0) return remove(`0-new-${number}`);
    created = number;
    return put(`0-new-${number}`, document(0));
  });
  return () => created;
}

/** The step of a file by its content: null for a content that it never had. */
function stepOf(name: string, content: string): number | null {
  const [first = ''] = /\d+/.exec(content) ?? [];
  if (name === 'log.txt') {
    const last = content.trimEnd().split('\n').at(-1);
    return content === appended(Number(last)) ? Number(last) : null;
  }
  if (name === 'large.bin') {
    const step = Number(content.slice(0, 8));
    return content === large(step) ? step : null;
  }
  const step = Number(first);
  return content === document(step) ? step : null;
}

test.each<[string, () => Promise<{ from: Place; to: Place; inPlace?: string }>]>([
  ['a prefix in S3', async () => ({ from: prefixIn('busy'), to: prefixIn('copy') })],
  [
    'a mounted folder',
    async () => ({ from: await folderOf('busy'), to: await folderOf('copy'), inPlace: 'in-place.json' }),
  ],
])(
  'backups while files in %s are written hold only consistent reads, and can be restored',
  async (_name, make) => {
    const { from, to, inPlace } = await make();
    const secret = secretName('busy', 'kv');
    const model = new BusyModel();
    const created = await startWriters(model, from, inPlace !== undefined);
    // Into the file itself, which is empty for a moment: the backup must warn that it may have read that.
    if (inPlace !== undefined) {
      await model.start(inPlace, IN_PLACE_PACE_MS, (step) =>
        writeFile(join(from.location, inPlace), document(step)),
      );
    }
    const failures: unknown[] = [];
    const counts: number[] = [];
    try {
      await until('half of the new files are created', created, { holds: (count) => count >= NEW_FILES / 2 });
      for (let number = 0; number < BACKUPS && failures.length < 5; number++) {
        await stack.putSecret(secret, { location: from.location });
        const begin = Date.now();
        const backup = await stack.run('Backup', { target: 'busy' });
        const end = Date.now();
        if (backup.status !== 'SUCCEEDED') {
          failures.push({ number, backup: backup.cause });
          continue;
        }
        const { backup_id } = JSON.parse(backup.output ?? '') as { backup_id: string };
        const record = await stack.bucket.readRecord(catalogKey(backup_id), CatalogRecord);
        const named = record?.value.warnings?.find(({ code }) => code === 'files-kept-changing')?.samples;
        if (inPlace === undefined) expect(named).toBeUndefined();
        // A file whose writer stood still is saved without a warning.
        else if (model.longestPause(inPlace, begin, end) < STILL_MS) expect(named).toContain(inPlace);

        await stack.putSecret(secret, { location: to.location });
        const restore = await stack.run('Restore', { backup_id, confirm: 'busy', safety_backup: false });
        if (restore.status !== 'SUCCEEDED') {
          failures.push({ number, backup_id, restore: restore.cause });
          continue;
        }
        const copy = await to.read();
        counts.push(copy.size);
        const found = new Map<string, number | null>();
        for (const [name, content] of copy) found.set(name, stepOf(name, content));
        const problems = model
          .problems(found, begin, end)
          .filter(
            (problem) => !(problem.startsWith(`${inPlace}: its content`) && copy.get(inPlace ?? '') === ''),
          );
        if (problems.length > 0) failures.push({ number, backup_id, problems });
      }
    } finally {
      await model.stop();
    }
    expect(failures).toEqual([]);
    expect(counts).toHaveLength(BACKUPS);
    // Each copy had new files, and the writers were active the whole time.
    expect(Math.min(...counts)).toBeGreaterThan(8);
    expect(model.steps).toBeGreaterThan(50 * BACKUPS);
  },
  // A deadline for hangs, not for speed.
  180_000 + 90_000 * BACKUPS,
);
