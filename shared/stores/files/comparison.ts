import { z } from 'zod';
import type { EntryReader } from '../../archive/format/types.ts';
import { MultisetDigest } from '../../core/digest.ts';
import type { Json } from '../../core/json.ts';
import type {
  ComparedRecord,
  ContentPiece,
  RecordComparison,
  RecordReader,
} from '../comparison/record-reader.ts';
import { FileDigest, PIECE_BYTES } from './file-digest.ts';
import { fileNameOf } from './names.ts';
import type { FilesScope } from './scope.ts';

/** The digest of the pieces of a file that were read; null between two files. */
const State = z.object({ file: z.string(), digest: z.string() }).nullable();

/** Compares files by name, and by the digest of their bytes. */
export const filesComparison: RecordComparison<FilesScope> = {
  prepare: async () => ({ rules: null, limitations: {} }),
  reader: (_basis, { from }) => new FilesReader(from),
  mayHold: (entry, wanted) => fileNameOf(entry) === wanted,
  pieceBytes: PIECE_BYTES,
};

class FilesReader implements RecordReader {
  #state: z.infer<typeof State>;

  constructor(from: Json | undefined) {
    this.#state = from === undefined ? null : State.parse(from);
  }

  save(): Json {
    return this.#state;
  }

  async *read(piece: ContentPiece, _archive: EntryReader): AsyncGenerator<ComparedRecord> {
    const file = fileNameOf(piece.name);
    if (file === undefined) return;
    const digest = new FileDigest(file, piece.size, piece.offset);
    for await (const chunk of piece.data) digest.add(chunk);
    const pieces = new MultisetDigest();
    if (piece.offset > 0 && this.#state?.file === file) pieces.merge(this.#state.digest);
    pieces.merge(digest.tallies().files?.digest ?? '0');
    this.#state = { file, digest: pieces.hex() };
    if (piece.offset + piece.length < piece.size) return;
    this.#state = null;
    const content = pieces.hex();
    yield { kind: 'files', identity: file, content, name: () => `file "${file}"`, keys: () => [file] };
  }
}
