import type { EntryReader } from '../format/types.ts';

const none: AsyncIterable<never> = {
  [Symbol.asyncIterator]: () => ({ next: () => Promise.resolve({ done: true, value: undefined }) }),
};

/** An archive without entries. */
export const EMPTY_ARCHIVE: EntryReader = {
  entries: () => none,
  find: () => Promise.resolve(undefined),
  open: () => none,
};
