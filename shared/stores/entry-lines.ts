import type { IndexEntry } from '../archive/format/types.ts';
import { ANOTHER_ARCHIVE, InvalidInputError } from '../core/errors.ts';
import { type LineRules, readLines } from '../core/lines.ts';

/** Most bytes of a line of an entry: what is longer is neither saved nor read. */
export const LINE_BYTES_MAX = 64 * 1024 ** 2;

/** What the lines of an entry have to be; anything else is an InvalidInputError. */
export function entryLineRules({ name }: Pick<IndexEntry, 'name'>): LineRules {
  return {
    bytesMax: LINE_BYTES_MAX,
    tooLong: () =>
      new InvalidInputError(`${name} has a line of more than ${LINE_BYTES_MAX} bytes.`, {
        remedy: ANOTHER_ARCHIVE,
      }),
  };
}

/** The lines in the content of an entry, of which one at a time is held. */
export function linesOf(
  content: AsyncIterable<Uint8Array>,
  entry: Pick<IndexEntry, 'name'>,
): AsyncGenerator<string> {
  return readLines(content, entryLineRules(entry));
}
