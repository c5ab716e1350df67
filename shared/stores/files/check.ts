import { z } from 'zod';
import type { EntryReader, IndexEntry } from '../../archive/format/types.ts';
import { addTallies, MultisetDigest, type Tallies } from '../../core/digest.ts';
import { InvalidInputError } from '../../core/errors.ts';
import type { Json } from '../../core/json.ts';
import { type ResumableSha256, resumableSha256 } from '../../core/sha256.ts';
import type { ContentCheck, ContentFindings, ContentOrigin, EntrySink } from '../content-check.ts';
import { SavedTallies } from '../tally-book.ts';
import { canonicalPiece, FileDigest, PIECE_BYTES } from './file-digest.ts';
import { LanceCheck } from './lance-check.ts';
import { fileNameOf } from './names.ts';

/** Checks the entries of a files store, which are plain bytes with names: see `ContentCheck`. */
export function checkFiles({ archive }: ContentOrigin, from?: Json): ContentCheck {
  return new FilesCheck(archive, from);
}

const CheckState = z
  .object({ tallies: SavedTallies, lance: z.json() })
  // The state that an earlier version saved.
  .or(SavedTallies.transform((tallies) => ({ tallies, lance: undefined })));

class FilesCheck implements ContentCheck {
  readonly #lance: LanceCheck;
  #tallies: Tallies;

  constructor(archive: EntryReader, from: Json | undefined) {
    const state = from === undefined ? undefined : CheckState.parse(from);
    this.#tallies = state?.tallies ?? {};
    this.#lance = new LanceCheck(archive, state?.lance);
  }

  open(entry: IndexEntry, from?: Json): EntrySink {
    const { name, size } = entry;
    const file = fileNameOf(name);
    if (file === undefined) {
      throw new InvalidInputError(`${name.slice(0, 200)} is not an entry of a files store.`, {
        remedy: 'Use an archive of a store of this kind; docs/stores/files.md has the format.',
      });
    }
    const add = (tallies: Tallies) => {
      this.#tallies = addTallies(this.#tallies, tallies);
    };
    if (size > PIECE_BYTES) return new LargeFile(file, add, from);
    const digest = new FileDigest(file, size);
    return this.#lance.watch(file, entry, {
      write: (chunk) => digest.add(chunk),
      end: () => add(digest.tallies()),
      abort: () => undefined,
    });
  }

  save(): Json {
    return { tallies: this.#tallies as unknown as Json, lance: this.#lance.save() };
  }

  async end(): Promise<ContentFindings> {
    return Promise.resolve({ tallies: this.#tallies, ...this.#lance.end() });
  }
}

const LargeFileState = z.object({
  offset: z.number(),
  /** Digest state of the completed pieces. */
  pieces: z.string(),
  /** Digest state of the current piece. */
  sha256: z.string(),
});

/** Digests a file of several pieces like {@link FileDigest}; its state can be saved at any position. */
class LargeFile implements EntrySink {
  readonly #file: string;
  readonly #add: (tallies: Tallies) => void;
  readonly #pieces = new MultisetDigest();
  #offset: number;
  #hash: Promise<ResumableSha256>;
  /** The digest of the current piece once it has been created: only a sink that was written to is saved. */
  #begun: ResumableSha256 | undefined;

  /** @param from  state returned by {@link save} */
  constructor(file: string, add: (tallies: Tallies) => void, from: Json | undefined) {
    const state = from === undefined ? undefined : LargeFileState.parse(from);
    this.#file = file;
    this.#add = add;
    this.#offset = state?.offset ?? 0;
    if (state) this.#pieces.merge(state.pieces);
    this.#hash = resumableSha256(state?.sha256);
  }

  async write(chunk: Uint8Array): Promise<void> {
    for (let at = 0; at < chunk.length; ) {
      this.#begun = await this.#hash;
      const part = chunk.subarray(at, at + PIECE_BYTES - (this.#offset % PIECE_BYTES));
      this.#begun.update(part);
      this.#offset += part.length;
      at += part.length;
      if (this.#offset % PIECE_BYTES === 0) await this.#closePiece(this.#offset - PIECE_BYTES);
    }
  }

  async end(): Promise<void> {
    const open = this.#offset % PIECE_BYTES;
    if (open > 0) await this.#closePiece(this.#offset - open);
    this.#add({ files: { count: 1, digest: this.#pieces.hex() } });
  }

  abort(): void {
    // No resources to release.
  }

  save(): Json {
    return { offset: this.#offset, pieces: this.#pieces.hex(), sha256: this.#begun?.save() ?? '' };
  }

  async #closePiece(start: number): Promise<void> {
    this.#pieces.add(canonicalPiece(this.#file, start, (await this.#hash).digest()));
    this.#hash = resumableSha256();
    this.#begun = await this.#hash;
  }
}
