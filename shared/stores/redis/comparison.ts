import { z } from 'zod';
import type { EntryReader } from '../../archive/format/types.ts';
import { NgbakError } from '../../core/errors.ts';
import type { Json } from '../../core/json.ts';
import type {
  ComparedRecord,
  ContentPiece,
  ReaderStart,
  RecordComparison,
  RecordReader,
} from '../comparison/record-reader.ts';
import { parseTyped, readExpiriesOf, readJson, wrong } from './archive-records.ts';
import { KeyParts, SavedKeyParts } from './key-parts.ts';
import { parseEntryName } from './names.ts';
import { canonicalString, type KeyPart } from './record.ts';
import { type ByteString, type RedisScope, showKey, toBytes } from './scope.ts';
import { encodePart } from './typed-lines.ts';

const Rules = z.object({
  /** Keys that have expired at this time, in ms since 1970, are left out: a restore does not load them. */
  now: z.number().nullable(),
  /** False if the server reports only how long a key has left: then only whether it expires is compared. */
  exact: z.boolean(),
});
type Rules = z.infer<typeof Rules>;

/** Maximum length of a key with its value that is extracted, in characters. */
const KEPT_CHARACTERS = 256 * 1024 ** 2;

/** First version that reports the exact time at which a key expires (PEXPIRETIME). */
const EXPIRE_TIME_MAJOR = 7;

/** Compares keys by name: their types, contents and expiry times. */
export const keysComparison: RecordComparison<RedisScope> = {
  prepare: async ({ live }) => {
    const rules: Rules = {
      now: live ? Date.now() : null,
      exact: live === undefined || Number.parseInt(live.probe.version, 10) >= EXPIRE_TIME_MAJOR,
    };
    return { rules, limitations: {} };
  },
  reader: (basis, start) => new KeysReader(Rules.parse(basis.rules), start),
};

class KeysReader implements RecordReader {
  readonly #rules: Rules;
  readonly #parts: KeyParts;
  readonly #wanted: string | undefined;
  /** The lines of the wanted key so far. */
  #lines: string[] = [];
  #kept = 0;

  constructor(rules: Rules, { from, wanted }: ReaderStart) {
    this.#rules = rules;
    this.#wanted = wanted;
    this.#parts = new KeyParts(from === undefined ? undefined : SavedKeyParts.parse(from));
  }

  save(): Json {
    return this.#parts.save();
  }

  async *read(piece: ContentPiece, archive: EntryReader): AsyncGenerator<ComparedRecord> {
    const { name, size } = piece;
    const parsed = parseEntryName(name);
    if (!parsed) throw wrong(name, 'it is not an entry of a Redis store');
    const { namespace, form } = parsed;
    const entry = { name, size, sha256: '', offset: 0, length: 0 };
    if (form === 'json') {
      for await (const { key, value, expiresAt } of readJson(
        piece.data,
        entry,
        await readExpiriesOf(archive, entry),
      )) {
        if (this.#hasExpired(expiresAt)) continue;
        const content = canonicalString(key, value, this.#expiryOf(expiresAt));
        const part = { key, type: 'string', expiresAt, offset: 0, last: true } as const;
        yield record(namespace, key, content, () => lineOf({ ...part, items: [[value]] }));
      }
      return;
    }
    // Expiry times are read together with the JSON entry that they belong to.
    if (form === 'expiry') return;
    for await (const { part } of parseTyped(piece.data, entry)) {
      const isWanted = this.#wanted !== undefined && keysOf(part.key).includes(this.#wanted);
      if (isWanted) this.#keep(part);
      const whole = this.#parts.add(name, part);
      if (!whole || this.#hasExpired(whole.expiresAt)) continue;
      const content = whole.canonical(this.#expiryOf(whole.expiresAt));
      const lines = isWanted ? this.#lines : undefined;
      yield record(namespace, part.key, content, () => lines?.join('\n') ?? lineOf(part));
    }
  }

  /** Keeps a part of the wanted key. Throws NgbakError if the key is too large to be held in memory. */
  #keep(part: KeyPart): void {
    if (part.offset === 0) {
      this.#lines = [];
      this.#kept = 0;
    }
    const line = lineOf(part);
    this.#lines.push(line);
    this.#kept += line.length;
    if (this.#kept <= KEPT_CHARACTERS) return;
    throw new NgbakError(
      `The ${part.type} "${showKey(part.key)}" is too large to be extracted by its name.`,
      {
        remedy: 'Extract the entries that hold it with `ngbak archive extract`.',
      },
    );
  }

  #hasExpired(expiresAt: number | null): boolean {
    return this.#rules.now !== null && expiresAt !== null && expiresAt <= this.#rules.now;
  }

  #expiryOf(expiresAt: number | null): number | null {
    return this.#rules.exact || expiresAt === null ? expiresAt : 0;
  }
}

function record(namespace: string, key: ByteString, content: Uint8Array, json: () => string): ComparedRecord {
  return {
    kind: `keys:${namespace}`,
    identity: key,
    content,
    name: () => `key ${showKey(key)}`,
    keys: () => keysOf(key),
    json,
  };
}

/** A key is found by its name, and by the ID after its last colon. */
function keysOf(key: ByteString): string[] {
  const name = toBytes(key).toString('utf8');
  const colon = name.lastIndexOf(':');
  return colon < 0 ? [name] : [name, name.slice(colon + 1)];
}

function lineOf(part: KeyPart): string {
  return encodePart(part).toString('utf8').trimEnd();
}
