import type { IndexEntry } from '../archive/format/types.ts';
import { ANOTHER_ARCHIVE, InvalidInputError } from '../core/errors.ts';
import { type LineRules, readLines } from '../core/lines.ts';

/** Maximum length of a line in an entry, in bytes. Longer lines are neither saved nor read. */
export const LINE_BYTES_MAX = 64 * 1024 ** 2;

/** Rules for the lines of an entry. A violation is an InvalidInputError. */
export function entryLineRules({ name }: Pick<IndexEntry, 'name'>): LineRules {
  return {
    bytesMax: LINE_BYTES_MAX,
    tooLong: () =>
      new InvalidInputError(`${name} has a line of more than ${LINE_BYTES_MAX} bytes.`, {
        remedy: ANOTHER_ARCHIVE,
      }),
  };
}

/** Splits the content of an entry into lines, holding one at a time in memory. */
export function linesOf(
  content: AsyncIterable<Uint8Array>,
  entry: Pick<IndexEntry, 'name'>,
): AsyncGenerator<string> {
  return readLines(content, entryLineRules(entry));
}

/** Parses a line; errors state entry and line. */
export function parseNamed<T>(
  text: string,
  parse: (line: string) => T,
  entry: Pick<IndexEntry, 'name'>,
  line: number,
): T {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof InvalidInputError)) throw error;
    throw new InvalidInputError(`${entry.name}, line ${line}: ${error.message}`, { remedy: error.remedy });
  }
}
