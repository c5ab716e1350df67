import type { IndexEntry } from '../../archive/format/types.ts';
import { addTallies, type Tallies } from '../../core/digest.ts';
import { InvalidInputError } from '../../core/errors.ts';
import type { Json } from '../../core/json.ts';
import type { ContentCheck, ContentFindings, ContentOrigin, EntrySink } from '../store.ts';
import { SavedTallies } from '../tally-book.ts';
import { FileDigest } from './file-digest.ts';
import { fileNameOf } from './names.ts';

/** Checks the entries of a store of files, which are bytes with names: see `ContentCheck`. */
export function checkFiles(_origin: ContentOrigin, from?: Json): ContentCheck {
  return new FilesCheck(from);
}

class FilesCheck implements ContentCheck {
  #tallies: Tallies;

  constructor(from: Json | undefined) {
    this.#tallies = from === undefined ? {} : SavedTallies.parse(from);
  }

  open({ name, size }: IndexEntry): EntrySink {
    const file = fileNameOf(name);
    if (file === undefined) {
      throw new InvalidInputError(`${name.slice(0, 200)} is not an entry of a store of files.`, {
        remedy: 'Use an archive of a store of this kind; docs/stores/files.md has the format.',
      });
    }
    const digest = new FileDigest(file, size);
    return {
      write: (chunk) => digest.add(chunk),
      end: () => {
        this.#tallies = addTallies(this.#tallies, digest.tallies());
      },
      abort: () => undefined,
    };
  }

  save(): Json {
    return this.#tallies as unknown as Json;
  }

  async end(): Promise<ContentFindings> {
    return Promise.resolve({ tallies: this.#tallies, problems: [], warnings: [] });
  }
}
