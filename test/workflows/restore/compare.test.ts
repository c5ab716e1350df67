import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PutObjectCommand } from '@aws-sdk/client-s3';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type { Environment } from '../../../shared/workflows/environment.ts';
import {
  type InspectResult,
  InspectState,
  inspectArchive,
} from '../../../shared/workflows/restore/inspect.ts';
import { readInspection } from '../../../shared/workflows/restore/inspection.ts';
import { buildArchive, DRAFT } from '../../archive/build.ts';
import { freshEnvironment } from '../../support/aws.ts';
import { makeFilesStore } from '../../support/files-target.ts';
import { admit } from '../../support/restore-records.ts';

const KEY = 'backups/compared.ngbak';
const JOB = 'restore_compared';
let environment: Environment;
let folder: string;

beforeEach(async () => {
  const made = await makeFilesStore('compare');
  folder = made.folder;
  environment = await freshEnvironment({ default: { stores: { kv: made.store } } });
  const { bucket } = environment;
  const contents = ['a', 'b', 'c'].map((name) => ({
    name: `kv/files/${name}.json`,
    data: Buffer.from(`"${name}"`),
  }));
  const draft = {
    ...DRAFT,
    storage_backends: { kv: { kind: 'files' } },
    scope: { type: 'full' as const, stores: ['kv' as const], target: 'default' },
    tallies: { kv: { files: { count: 3, digest: '0'.repeat(64) } } },
  };
  await bucket.s3.send(
    new PutObjectCommand({ Bucket: bucket.name, Key: KEY, Body: await buildArchive(contents, { draft }) }),
  );
  await writeFile(join(folder, 'b.json'), '"b"');
  await writeFile(join(folder, 'c.json'), '"other"');
  await writeFile(join(folder, 'd.json'), '"d"');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** Inspects in legs that have no time, each of them twice. Returns the last result, and the number of legs. */
async function inspect(options: object, more: { readonly again?: object } = {}) {
  const { bucket } = environment;
  await admit(environment, { job_id: JOB, source: { bucket: bucket.name, key: KEY }, options });
  const limits = { timeLeft: () => 0, signal: new AbortController().signal };
  let state = InspectState.parse({ job_id: JOB, cursor: { stage: 'target' }, ...more.again });
  for (let legs = 1; ; legs++) {
    const parsed = InspectState.parse(JSON.parse(JSON.stringify(state)));
    await inspectArchive(environment, parsed, limits);
    const result: InspectResult = await inspectArchive(environment, parsed, limits);
    if (result.done) return { ...result, legs, inspection: await readInspection(bucket, JOB) };
    state = result;
  }
}

const EXPECTED = {
  kind: 'files',
  before: 3,
  after: 3,
  added: { count: 1, samples: ['file "a.json"'] },
  changed: { count: 1, samples: ['file "c.json"'] },
  removed: { count: 1, samples: ['file "d.json"'] },
};

test('an inspection reports what the restore would change, and changes nothing', async () => {
  const found = await inspect({ compare: true, dry_run: true });
  expect(found).toMatchObject({ dry_run: true, refused: false });
  // One for the target, and one for each file and the merge of both sides.
  expect(found.legs).toBeGreaterThan(6);
  expect(found.inspection.comparison).toEqual({
    mode: 'replace',
    stores: [{ store: 'kv', kinds: [EXPECTED] }],
  });
  expect((await readdir(folder)).sort()).toEqual(['b.json', 'c.json', 'd.json']);
  expect(await readFile(join(folder, 'c.json'), 'utf8')).toBe('"other"');
});

test('without the option, or with a problem, nothing is compared', async () => {
  expect((await inspect({ dry_run: true })).inspection.comparison).toBeUndefined();
  const refused = await inspect({ compare: true, dry_run: true, mode: 'if_empty' });
  expect(refused.refused).toBe(true);
  expect(refused.inspection.comparison).toBeUndefined();
});

test('options that an operator tries while the restore waits are compared as well', async () => {
  const again = { options: { mode: 'merge', on_conflict: 'keep', compare: true } };
  const { inspection } = await inspect({}, { again });
  expect(inspection.comparison).toMatchObject({ mode: 'merge', stores: [{ kinds: [EXPECTED] }] });
});
