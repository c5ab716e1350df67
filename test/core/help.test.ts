/**
 * Errors link to the documentation: each link points to an existing entry, and each entry has an error that links to
 * it.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { problemOf } from '../../shared/api/problem.ts';
import { explainAwsCode } from '../../shared/aws/s3-error.ts';
import { describeError, helpOf, NgbakError } from '../../shared/core/errors.ts';
import { HELP, withPlatformHelp } from '../../shared/core/help.ts';
import { requireLock } from '../../shared/workflows/job/lock.ts';

const ROOT = join(import.meta.dirname, '../..');
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');
const filesOf = (folder: string, name: RegExp): string[] =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((path) => name.test(path))
    .map((path) => join(folder, path));

/** The anchors of a page: its headings, as GitHub names them, and explicit ones. */
function anchorsOf(page: string): Set<string> {
  const text = read(page).replaceAll(/^```[\s\S]*?^```/gm, '');
  const seen = new Map<string, number>();
  const headings = [...text.matchAll(/^#{1,6} (.*)$/gm)].map(([, title = '']) => {
    const slug = title
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\p{M}_ -]/gu, '')
      .replaceAll(' ', '-');
    const before = seen.get(slug) ?? 0;
    seen.set(slug, before + 1);
    return before === 0 ? slug : `${slug}-${before}`;
  });
  return new Set([...headings, ...[...text.matchAll(/<a id="([^"]+)"><\/a>/g)].map(([, id = '']) => id)]);
}

const exists = (link: string) => {
  const [page = '', anchor = ''] = link.split('#');
  return existsSync(join(ROOT, page)) && (anchor === '' || anchorsOf(page).has(anchor));
};

describe('the entries that errors link to', () => {
  test.each(Object.values(HELP))('%s exists', (link) => {
    expect(exists(link)).toBe(true);
  });

  test('are each linked to by an error', () => {
    const code = ['shared', 'cli', 'functions', 'infra']
      .flatMap((folder) => filesOf(folder, /\.ts$/))
      .map(read);
    const unused = Object.keys(HELP).filter(
      (name) => !code.some((text) => new RegExp(`(help: |seeAlso\\(|: )HELP\\.${name}\\b`).test(text)),
    );
    expect(unused).toEqual([]);
  });

  test('include every entry of the troubleshooting page that has its own anchor', () => {
    const ids = [...read('docs/troubleshooting.md').matchAll(/<a id="([^"]+)"/g)].map(([, id]) => id);
    expect(ids.length).toBeGreaterThan(10);
    const linked: string[] = Object.values(HELP);
    expect(ids.filter((id) => !linked.includes(`docs/troubleshooting.md#${id}`))).toEqual([]);
  });

  test('are referenced only by the names of the registry, so that none can be misspelt', () => {
    const literal = ['shared', 'cli', 'functions', 'infra']
      .flatMap((folder) => filesOf(folder, /\.ts$/))
      .filter((path) => /\bhelp: ['"`]/.test(read(path)));
    expect(literal).toEqual([]);
  });
});

test('links between documentation pages point to existing pages and headings', () => {
  const pages = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', ...filesOf('docs', /\.md$/)];
  const broken = pages.flatMap((page) =>
    [...read(page).matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, link = '']) => {
      if (/^[a-z]+:/.test(link)) return [];
      const [path = '', anchor = ''] = link.split('#');
      const target = path === '' ? page : normalize(join(dirname(page), path));
      const isPage = target.endsWith('.md');
      const found = isPage
        ? exists(anchor === '' ? target : `${target}#${anchor}`)
        : existsSync(join(ROOT, target));
      return found ? [] : [`${page}: ${link}`];
    }),
  );
  expect(broken).toEqual([]);
});

describe('an error with an entry', () => {
  const error = new NgbakError('It failed.', { remedy: 'Repair it.', help: HELP.memory });

  test('links to it: in its line for jobs, logs and the console', () => {
    expect(describeError(error)).toBe('It failed. Repair it. See docs/troubleshooting.md#out-of-memory.');
    expect(describeError(new NgbakError('It failed.', { remedy: 'Repair it.' }))).toBe(
      'It failed. Repair it.',
    );
  });

  test('links to it also if another error wraps it', () => {
    const outer = new NgbakError('The step failed.', { remedy: 'Look.', cause: error });
    expect(helpOf(outer)).toBe(HELP.memory);
    expect(describeError(outer)).toMatch(/See docs\/troubleshooting\.md#out-of-memory\.$/);
  });

  test('links to it in the response of the API', () => {
    expect(problemOf(error)).toMatchObject({ help: HELP.memory, remedy: 'Repair it.' });
    expect(problemOf(new NgbakError('x', { remedy: 'y' }))).not.toHaveProperty('help');
  });

  test('is linked to by errors of AWS, of locks and of the platform', async () => {
    const disabled = Object.assign(new Error('arn:aws:kms:eu-central-1:1:key/x is disabled.'), {
      name: 'KMS.DisabledException',
    });
    expect(explainAwsCode(disabled, 'S3 could not read x')?.help).toBe(HELP.keyUnusable);
    const bucket = { readRecord: async () => undefined } as unknown as Parameters<typeof requireLock>[0];
    await expect(requireLock(bucket, 'default', 'arn')).rejects.toMatchObject({ help: HELP.targetInUse });
    expect(withPlatformHelp('Runtime.OutOfMemory', 'The process was killed.')).toBe(
      'The process was killed. See docs/troubleshooting.md#out-of-memory.',
    );
    expect(withPlatformHelp('NgbakError', 'It failed.')).toBe('It failed.');
  });
});
