import { z } from 'zod';
import type { IndexEntry } from '../archive/format/types.ts';
import type { Json } from '../core/json.ts';
import { LineSplitter } from '../core/lines.ts';
import type { ContentCheck, ContentFindings, EntrySink } from './content-check.ts';
import { entryLineRules, parseNamed } from './entry-lines.ts';
import type { StoreAdapter } from './store.ts';
import { SavedTallies, TallyBook } from './tally-book.ts';

/** A record for counting: the name of its tally, and the text from which its digest is computed. */
export interface CountedRecord {
  readonly tally: string;
  readonly canonical: string;
}

/** Reads a line. Throws InvalidInputError if the line is not a record. */
type ReadRecord = (line: string, entry: IndexEntry) => CountedRecord;

/** The position of a check within an entry. */
const SavedSink = z.object({ rest: z.string(), line: z.number() });

/** Creates the content check of a store whose entries consist of lines, one record per line. */
export function checkLines(read: ReadRecord): StoreAdapter['check'] {
  return (_origin, from) => new LinesCheck(read, from);
}

class LinesCheck implements ContentCheck {
  readonly #read: ReadRecord;
  readonly #book: TallyBook;

  constructor(read: ReadRecord, from: Json | undefined) {
    this.#read = read;
    this.#book = new TallyBook(from === undefined ? {} : SavedTallies.parse(from));
  }

  open(entry: IndexEntry, from?: Json): EntrySink {
    const saved = from === undefined ? { rest: '', line: 0 } : SavedSink.parse(from);
    const splitter = new LineSplitter(entryLineRules(entry), Buffer.from(saved.rest, 'base64'));
    let { line } = saved;
    const take = (lines: Iterable<string>): void => {
      for (const text of lines) {
        line++;
        const { tally, canonical } = parseNamed(text, (whole) => this.#read(whole, entry), entry, line);
        this.#book.add(tally, canonical);
      }
    };
    return {
      write: (chunk) => take(splitter.push(chunk)),
      end: () => take(splitter.end()),
      abort: () => undefined,
      save: () => ({ rest: splitter.rest.toString('base64'), line }),
    };
  }

  save(): Json {
    return this.#book.saved();
  }

  async end(): Promise<ContentFindings> {
    return Promise.resolve({ tallies: this.#book.tallies(), problems: [], warnings: [] });
  }
}
