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

/** The clients that prove profiles, by the file that pins them. */
const CLIENTS: [string, string[]][] = [
  ['graphrag-clients', ['nano-graphrag', 'lightrag-hku']],
  ['ms-graphrag', ['graphrag']],
  ['neo4j-clients', ['graphiti-core', 'neo4j-graphrag', 'langchain-neo4j']],
  ['llamaindex', ['llama-index-graph-stores-neo4j', 'llama-index-vector-stores-neo4jvector']],
  ['mem0', ['mem0ai']],
  ['cognee', ['cognee']],
];

test.each(['README.md', 'docs/profiles.md'])(
  '%s names the version of every client that proves a profile, as it is pinned',
  async (page) => {
    const text = await readFile(join(ROOT, page), 'utf8');
    const rows = text.split('\n').filter((line) => line.startsWith('| '));
    for (const [file, names] of CLIENTS) {
      const pins = await readFile(join(ROOT, `local/pins/${file}-requirements.txt`), 'utf8');
      for (const name of names) {
        const version = new RegExp(`^${name}==(\\S+)`, 'm').exec(pins)?.[1];
        const expected = `${name} ${version}`;
        expect(
          rows.filter((row) => row.split(/ \| |, /).some((cell) => cell.startsWith(expected))),
        ).toHaveLength(1);
      }
    }
  },
);

test('the unpacked browser has the version in package.json', async () => {
  const { devDependencies } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'));
  expect(devDependencies['@sparticuz/chromium']).toBe(VERSIONS.chromium);
});
