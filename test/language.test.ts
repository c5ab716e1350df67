/** Phrases that must not occur in texts, and one rule for the width of Markdown: docs/glossary.md has the terms. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';

const ROOT = join(import.meta.dirname, '..');
const SOURCES = ['bench', 'cli', 'dashboard', 'functions', 'infra', 'local', 'shared', 'test'];
const PAGES = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md', ...filesOf('docs', /\.md$/)];
const THIS_FILE = 'test/language.test.ts';

/** Phrases to avoid, and their replacements. */
const PHRASES: readonly (readonly [RegExp, string])[] = [
  [/\bleads? nowhere\b/i, 'dangling'],
  [/\banew\b/i, 'again'],
  [/\basked for by\b/i, 'requested by'],
  [/\bstands? against\b/i, 'prevents, conflicts with'],
  [/\b(is|are|was|were) told\b/i, 'reported'],
  [/\b(goes|go|went) on\b/i, 'continues, resumes'],
  [/\bkeys? that counts?\b|\b(does|do|did) not count any more\b/i, 'valid, current'],
  [/\bmade of\b/i, 'from, derived from, consists of'],
  [/\bas it was written\b|\bnot what was written\b/i, 'verified, integrity check failed'],
  [/\btake another copy\b/i, 'use another copy'],
  [/\bit is tried again\b/i, 'ngbak retries automatically'],
  [/\bbrought back\b|\b(put|puts) back to what\b/i, 'restored, recoverable, rolled back'],
  [/\bway back\b/i, 'safety backup, rollback'],
  [/\bin good order\b/i, 'cleanly'],
  [/\bfor ever\b/i, 'forever'],
  [/\bmend(s|ed)?\b/i, 'correct, repair'],
  [/\bheld against\b|\bholds? (it|them|the \w+) against\b/i, 'checked against, compared with'],
  [/\bfor want of\b/i, 'without, because … is not available'],
  [/\btells of\b/i, 'states, names'],
  [/\bbreaks? off\b/i, 'is truncated, ends early'],
  [/\b(is|are) taken back\b/i, 'is undone, is withdrawn'],
  [/(?<!there )\bis no (?!longer|more|other|need|such|way)[a-z]+/i, 'is not a'],
];

/**
 * Further phrases that must not occur in documentation. Comments in code still contain some, and are corrected when
 * they are edited.
 */
const PAGE_PHRASES: readonly (readonly [RegExp, string])[] = [
  [/\b(of|by) ours\b/i, "ngbak's, own"],
  [/\btold\b/i, 'reported'],
  [/\btried (with|against)\b/i, 'tested with'],
  [/\bmade up for\b/i, 'backfilled'],
  [/\b(came|brings?|brought) back\b/i, 'was restored, reconnects'],
  [/\bwhoever\b/i, 'anyone who'],
  [/\bsomebody\b/i, 'another user, a client'],
  [/\bunder way\b|\bon (its|their) way\b/i, 'in progress'],
  [/\blies? (in|at|behind|under|below)\b/i, 'is in'],
  [/\bwhat it was\b/i, 'unchanged, its previous contents'],
  [/\bwhere there (is|are) (none|no)\b/i, 'if there is none'],
  [/\bas (it|they) likes?\b/i, 'any'],
];

/** Identifiers that are not terms of the domain: a name states what a value is. */
const NAMES =
  /(?:\b(?:const|let|function|class|interface|type)\s+|[#,({]\s*|^\s*)(told|tell\w*|\w*_TOLD\w*|strangers?|wishes|blow|strike|ours|\w*[mM]eddler|doomed|looked)\b(?=\s*(?:=[^=]|:|\(|<|\)\s*=>|,[^=]*[}\]]\s*=|[}\]]\s*=))/;

/** The widest line of prose in Markdown. Tables, code and headings are exempt. */
const WIDTH_MAX = 130;

function filesOf(folder: string, name: RegExp): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((path) => name.test(path))
    .map((path) => join(folder, path));
}

const linesOf = (path: string) => readFileSync(join(ROOT, path), 'utf8').split('\n');

/** `path:line: text (write …)` for each line with one of the phrases. */
function faultsIn(path: string, lines: readonly string[], phrases = PHRASES): string[] {
  return lines.flatMap((line, index) =>
    phrases
      .filter(([phrase]) => phrase.test(line))
      .map(([, instead]) => `${path}:${index + 1}: ${line.trim()} (write: ${instead})`),
  );
}

describe('the language of the project', () => {
  test('code, comments, messages and test names contain none of the phrases', () => {
    const files = SOURCES.flatMap((folder) => filesOf(folder, /\.(ts|tsx|mjs)$/)).filter(
      (path) => path !== THIS_FILE && !path.includes('node_modules'),
    );
    expect(files.length).toBeGreaterThan(500);
    expect(files.flatMap((path) => faultsIn(path, linesOf(path)))).toEqual([]);
  });

  test('documentation contains none of the phrases', () => {
    const phrases = [...PHRASES, ...PAGE_PHRASES];
    expect(PAGES.flatMap((path) => faultsIn(path, linesOf(path), phrases))).toEqual([]);
  });

  test('identifiers are terms of the domain', () => {
    const files = SOURCES.flatMap((folder) => filesOf(folder, /\.tsx?$/)).filter(
      (path) => path !== THIS_FILE,
    );
    const found = files.flatMap((path) =>
      linesOf(path).flatMap((line, index) => {
        const name = /^\s*(\*|\/\/|\/\*)/.test(line) ? undefined : NAMES.exec(line)?.[1];
        return name === undefined ? [] : [`${path}:${index + 1}: ${name}`];
      }),
    );
    expect(found).toEqual([]);
  });

  test('finds a phrase in a text and in a comment', () => {
    const found = (line: string) => faultsIn('x.ts', [line]).length;
    expect(found("  fail('The job goes on.');")).toBe(1);
    expect(found('test(`what is no archive is refused`, () => {')).toBe(1);
    expect(found('  work(); // goes on')).toBe(1);
    expect(found('There is no backup, and it is no longer needed.')).toBe(0);
  });

  test('finds an identifier where it is declared', () => {
    const declared = ['const told = text;', 'function tellStore(', '  #told = 0;', 'const IDS_TOLD_MAX = 5;'];
    expect(declared.filter((line) => !NAMES.test(line))).toEqual([]);
    expect(NAMES.test('const { stranger } = scope;')).toBe(true);
    expect(NAMES.test("expect(text).toContain('told');")).toBe(false);
  });
});

test('prose in Markdown is wrapped', () => {
  const wide = PAGES.flatMap((path) => {
    let code = false;
    return linesOf(path).flatMap((line, index) => {
      if (line.startsWith('```')) code = !code;
      const free = code || /^(\||#|!\[|<|\S*https?:)/.test(line);
      return free || [...line].length <= WIDTH_MAX ? [] : [`${path}:${index + 1}: ${[...line].length} wide`];
    });
  });
  expect(wide).toEqual([]);
});
