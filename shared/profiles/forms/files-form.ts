import type { EntryPiece, EntryReader, IndexEntry } from '../../archive/format/types.ts';
import { InvalidInputError } from '../../core/errors.ts';
import { entryNamesOf, FOLDER, fileNameOf } from '../../stores/files/names.ts';
import { isSpace } from '../../stores/json-bytes.ts';
import { JsonMemberError, readMembers } from '../../stores/redis/json-entry.ts';
import type { Extent, Form, FormPlace, KeyRecord } from './form.ts';
import type { LossBook } from './losses.ts';

/** Written as Python's `json.dump` with an indent of 2 does, so that the files are those that the system writes. */
const [OPENING, BETWEEN, CLOSING, EMPTY] = ['{\n', ',\n', '\n}', '{}'];
/** The byte order mark, which the systems skip. */
const BOM = Buffer.from('\uFEFF');

/** Namespaces as `kv_store_<namespace>.json`: one JSON object each. */
export class FilesForm implements Form {
  readonly #names: ReadonlyMap<string, string>;

  constructor({ movable }: FormPlace) {
    this.#names = new Map(movable.namespaces.map((namespace) => [fileOf(namespace), namespace]));
  }

  async *read(archive: EntryReader, namespace: string): AsyncGenerator<KeyRecord> {
    for await (const entry of archive.entries(FOLDER)) {
      if (this.#namespaceOf(entry) !== namespace) continue;
      try {
        for await (const { key, value } of readMembers(withoutMark(archive.open(entry))))
          yield { id: key.toString('utf8'), value };
      } catch (error) {
        if (!(error instanceof JsonMemberError)) throw error;
        throw new InvalidInputError(`The file "${fileOf(namespace)}" can't be converted: ${error.message}.`, {
          remedy: 'Correct the file, back up again, and convert that backup.',
          cause: error,
        });
      }
    }
  }

  async readOthers(archive: EntryReader, losses: LossBook): Promise<void> {
    for await (const entry of archive.entries('kv/'))
      if (this.#namespaceOf(entry) === undefined)
        losses.add('other-files', fileNameOf(entry.name) ?? entry.name);
  }

  #namespaceOf({ name }: IndexEntry): string | undefined {
    return this.#names.get(fileNameOf(name) ?? '');
  }

  encode(_namespace: string, { id, value }: KeyRecord): Buffer {
    return Buffer.concat([Buffer.from(`  ${JSON.stringify(id)}: `), value]);
  }

  async *pieces(
    namespace: string,
    records: AsyncIterable<Buffer>,
    { records: count, bytes }: Extent,
  ): AsyncGenerator<EntryPiece> {
    const name = entryNamesOf([...this.#names.keys()]).get(fileOf(namespace)) ?? '';
    const around = OPENING.length + CLOSING.length + BETWEEN.length * (count - 1);
    const size = count === 0 ? EMPTY.length : bytes + around;
    yield { name, size, offset: 0, length: size, data: fileContent(records) };
  }
}

async function* fileContent(records: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let before = OPENING;
  for await (const record of records) {
    yield Buffer.from(before);
    yield record;
    before = BETWEEN;
  }
  yield Buffer.from(before === OPENING ? EMPTY : CLOSING);
}

/** Without a byte order mark. A file of white space only is an empty object, as for the systems. */
async function* withoutMark(content: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let head: Buffer | undefined = Buffer.alloc(0);
  for await (const chunk of content) {
    if (head === undefined) {
      yield chunk;
      continue;
    }
    head = Buffer.concat([head, chunk]);
    if (head.length < BOM.length) continue;
    const rest = head.subarray(0, BOM.length).equals(BOM) ? head.subarray(BOM.length) : head;
    if (rest.every((byte) => isSpace(byte))) {
      head = rest.subarray(0, BOM.length);
      continue;
    }
    head = undefined;
    yield rest;
  }
  if (head?.every((byte) => isSpace(byte))) yield Buffer.from(EMPTY);
  else if (head) yield head;
}

function fileOf(namespace: string): string {
  return `kv_store_${namespace}.json`;
}
