/** One implementation of each task: when a second one appears, one of them is removed. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';

const ROOT = join(import.meta.dirname, '..');
const sources = ['shared', 'functions', 'cli', 'dashboard'].flatMap((folder) =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((path) => /\.tsx?$/.test(path))
    .map((path) => `${folder}/${path}`),
);

/** The source files that match a pattern, except the allowed ones. */
function filesWith(pattern: RegExp, ...allowed: string[]): string[] {
  return sources.filter(
    (path) => pattern.test(readFileSync(join(ROOT, path), 'utf8')) && !allowed.includes(path),
  );
}

test.each([
  ['S3 is called', /\b#?s3\s*\.send\(/, 'shared/aws/send-s3.ts'],
  [
    'multipart uploads are created',
    /new \w*(Multipart|UploadPartCopy)\w*Command\(/,
    'shared/aws/multipart.ts',
  ],
  ['delays between retries are calculated', /Math\.random/, 'shared/core/retry.ts'],
  [
    'the remedy for a damaged archive is stated',
    /Use another copy of the archive, or restore a different/,
    'shared/core/errors.ts',
  ],
  ['catalog records are created', /parseInput\(CatalogRecord/, 'shared/catalog/make-record.ts'],
  ['tallies are summed', /class \w*TallyBook/, 'shared/stores/tally-book.ts'],
])('%s in one file', (_what, pattern, file) => {
  expect(filesWith(pattern)).toContain(file);
  expect(filesWith(pattern, file)).toEqual([]);
});
