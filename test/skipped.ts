import { relative } from 'node:path';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { ROOT } from '../local/folders.ts';

/** Marks the reason in the name of a test or of a group of tests that this machine cannot run. */
const SKIPPED = /\[skipped: (.*?)\]/;

/** Appends to a name the reason why this machine cannot run the test. */
export function markSkipped(name: string, reason: string): string {
  return `${name} [skipped: ${reason}]`;
}

/** The fields of Jest's own report about the tests of a file used here: https://jestjs.io/docs/cli#--json. */
export const FileReport = z.object({
  name: z.string(),
  assertionResults: z.array(z.object({ fullName: z.string(), status: z.string() })),
});

/** A test that was selected and did not run. */
export interface SkippedTest {
  readonly file: string;
  readonly name: string;
  readonly reason: string;
}

/**
 * The selected tests that did not run: those that this machine cannot run (test/conditions.ts), and those that a test
 * file skips in another way. Tests that the user has excluded by a name pattern are ignored.
 *
 * @param args  Jest's arguments
 */
export function skippedTests(
  files: readonly z.infer<typeof FileReport>[],
  args: readonly string[],
): SkippedTest[] {
  const pattern = namePattern(args);
  return files.flatMap(({ name: path, assertionResults }) =>
    assertionResults.flatMap(({ fullName, status }): SkippedTest[] => {
      if (!['pending', 'todo', 'skipped', 'disabled'].includes(status)) return [];
      const reason = SKIPPED.exec(fullName)?.[1];
      // Jest reports what the pattern excludes in the same way.
      if (pattern && (reason === undefined || !pattern.test(fullName))) return [];
      return [
        {
          file: relative(ROOT, path),
          name: fullName.replace(SKIPPED, '').replaceAll(/ {2,}/g, ' ').trim(),
          reason: reason ?? 'its file leaves it out',
        },
      ];
    }),
  );
}

function namePattern(args: readonly string[]): RegExp | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: { testNamePattern: { type: 'string', short: 't' } },
    strict: false,
  });
  const { testNamePattern: text } = values;
  return typeof text === 'string' ? new RegExp(text.replace(/^=/, ''), 'i') : undefined;
}

/** The skipped tests as lines of text, by their reasons. */
export function describeSkipped(tests: readonly SkippedTest[]): string[] {
  const lines: string[] = [];
  for (const reason of new Set(tests.map((test) => test.reason))) {
    lines.push(`Skipped because ${reason}:`);
    for (const { file, name } of tests.filter((test) => test.reason === reason))
      lines.push(`  ${file}: ${name}`);
  }
  return lines;
}
