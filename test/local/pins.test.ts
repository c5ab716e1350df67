import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { ROOT } from '../../local/folders.ts';
import { checkSha256, checkSha256List } from '../../local/install/install.ts';
import { VERSIONS } from '../../local/versions.ts';
import { IntegrityError } from '../../shared/core/errors.ts';

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
let folder = '';
let list = '';

beforeEach(async () => {
  const root = await mkdtemp(join(tmpdir(), 'ngbak-pins-'));
  folder = join(root, 'lib');
  list = join(root, 'list.sha256');
  await mkdir(folder);
  await writeFile(join(folder, 'a.jar'), 'content of a');
  await writeFile(join(folder, 'b.jar'), 'content of b');
  await writeFile(list, `${sha256('content of a')}  a.jar\n${sha256('content of b')}  b.jar\n`);
});
afterEach(() => rm(join(folder, '..'), { recursive: true }));

describe('the downloaded software', () => {
  test('is accepted if it has the pinned hash', async () => {
    await checkSha256List(folder, list, 'a test');
    await checkSha256(join(folder, 'a.jar'), sha256('content of a'), 'a test');
  });

  test.each([
    ['was changed', () => writeFile(join(folder, 'b.jar'), 'content of c'), /b\.jar/],
    ['is not complete', () => rm(join(folder, 'b.jar')), /b\.jar/],
    ['has an additional file', () => writeFile(join(folder, 'c.jar'), 'content of c'), /c\.jar/],
  ])('is refused, and the file is named, when it %s', async (_, change, name) => {
    await change();
    const error = await checkSha256List(folder, list, 'a test').catch((e) => e);
    expect(error).toBeInstanceOf(IntegrityError);
    expect((error as Error).message).toMatch(name);
  });
});

test('the unpacked browser has the version in package.json', async () => {
  const { devDependencies } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'));
  expect(devDependencies['@sparticuz/chromium']).toBe(VERSIONS.chromium);
});
