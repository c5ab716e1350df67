/** The documentation proves its promises with tests: every test that it names exists under that name. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { parseSync } from '@swc/core';
import { z } from 'zod';

const ROOT = join(import.meta.dirname, '..');
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');
const filesBelow = (folder: string, end: string) =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(end))
    .map((name) => join(folder, name));

const PAGES = ['README.md', 'CONTRIBUTING.md', ...filesBelow('docs', '.md')];
const TESTS = filesBelow('test', '.test.ts');

/** A file of tests that a page names, with the names of tests in italics behind it: `` `file.test.ts`: *name*, *name* ``. */
interface Citation {
  readonly page: string;
  readonly file: string;
  readonly names: readonly string[];
}

function citationsIn(page: string, text: string): Citation[] {
  return [...text.matchAll(/`([\w./-]+\.test\.ts)`((?:[:,;]? (?:and )?\*[^*\n]+\*)*)/g)].map(
    ([, file = '', names = '']) => ({
      page,
      file,
      names: [...names.matchAll(/\*([^*]+)\*/g)].map(([, name]) => name ?? ''),
    }),
  );
}

/** The files that a citation may mean: pages leave out leading folders. */
const candidates = (file: string) => TESTS.filter((path) => path === file || path.endsWith(`/${file}`));

const Text = z.union([
  z.object({ type: z.literal('StringLiteral'), value: z.string() }).transform(({ value }) => value),
  z
    .object({ type: z.literal('TemplateLiteral'), quasis: z.array(z.object({ raw: z.string() })) })
    .transform(({ quasis }) => quasis.map(({ raw }) => raw).join('…')),
]);
const Call = z.object({
  type: z.literal('CallExpression'),
  callee: z.unknown(),
  arguments: z.array(z.object({ expression: z.unknown() })),
});
const TESTS_CALLED = ['test', 'describe', 'testUnless', 'describeUnless'];

/** The function that a call calls in the end: `test` for `test.each(…)(…)`. */
function calledBy(callee: unknown): string | undefined {
  if (typeof callee !== 'object' || callee === null) return undefined;
  const value: unknown = Reflect.get(callee, 'value');
  return typeof value === 'string'
    ? value
    : calledBy(Reflect.get(callee, 'object') ?? Reflect.get(callee, 'callee'));
}

/** The names of the tests in a source text; `…` for what only running it shows. */
function namesIn(source: string): string[] {
  const names: string[] = [];
  const visit = (node: unknown) => {
    if (typeof node !== 'object' || node === null) return;
    const call = Call.safeParse(node).data;
    if (call && TESTS_CALLED.includes(calledBy(call.callee) ?? '')) {
      const texts = call.arguments.flatMap(({ expression }) => Text.safeParse(expression).data ?? []);
      names.push(...texts.map((text) => text.replace(/%[sdijop]/g, '…')));
    }
    for (const inner of Object.values(node)) visit(inner);
  };
  visit(parseSync(source, { syntax: 'typescript' }));
  return names;
}

const patternOf = (name: string) =>
  new RegExp(
    `^${name
      .split(/ ?… ?/)
      .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
      .join('.*')}$`,
  );
const isSameName = (cited: string, name: string) =>
  patternOf(cited).test(name) || patternOf(name).test(cited);

/** What is wrong with the citations of a text. */
function faultsIn(page: string, text: string): string[] {
  return citationsIn(page, text).flatMap(({ file, names }) => {
    const [path, ...others] = candidates(file);
    if (path === undefined) return [`${page}: there is no ${file}`];
    if (others.length > 0) return [`${page}: ${file} may be ${[path, ...others].join(' or ')}`];
    const existing = namesIn(read(path));
    return names
      .filter((cited) => !existing.some((name) => isSameName(cited, name)))
      .map((cited) => `${page}: ${path} has no test "${cited}"`);
  });
}

test.each(PAGES)('%s names only tests that exist', (page) => {
  expect(faultsIn(page, read(page))).toEqual([]);
});

test('each point of the promise in docs/reliability.md is proved by tests or benchmarks that exist', () => {
  const [, table = ''] = read('docs/reliability.md').split(
    '| what "verified" means | test |\n| --- | --- |\n',
  );
  const rows = (table.split('\n\n')[0] ?? '').split('\n');
  expect(rows).toHaveLength(10);
  const proofs = rows.map((row) => [...row.matchAll(/`([\w./-]+\.ts)`/g)].map(([, file]) => file ?? ''));
  expect(rows.filter((_, index) => proofs[index]?.length === 0)).toEqual([]);
  for (const file of proofs.flat().filter((name) => name.startsWith('bench/')))
    expect(read(file)).toBeTruthy();
});

test('a wrong file, an ambiguous one and a wrong name are found', () => {
  const [own = ''] = namesIn(read('test/cited-tests.test.ts')).filter((name) =>
    name.startsWith('a wrong file'),
  );
  const cite = (text: string) => faultsIn('page', text);
  expect(cite(`\`test/cited-tests.test.ts\`: *${own}*, *… names only tests that exist*`)).toEqual([]);
  expect(cite('`cited-tests.test.ts`: *a wrong file …*')).toEqual([]);
  expect(cite('`cited-tests.test.ts`: *a wrong line*')).toEqual([
    'page: test/cited-tests.test.ts has no test "a wrong line"',
  ]);
  expect(cite('`nowhere/cited-tests.test.ts`')).toEqual(['page: there is no nowhere/cited-tests.test.ts']);
  expect(cite('`faults.test.ts`')).toEqual([expect.stringMatching(/^page: faults\.test\.ts may be .* or /)]);
});
