import type { IndexEntry } from '../../archive/format/types.ts';
import { pulledSink } from '../../archive/read/pulled-sink.ts';
import { HashSet, SavedHashSet } from '../../core/hash-set.ts';
import type { Json } from '../../core/json.ts';
import type {
  CollectedField,
  ContentCheck,
  ContentFindings,
  ContentOrigin,
  EntrySink,
} from '../content-check.ts';
import { SavedTallies, TallyBook } from '../tally-book.ts';
import { parseTyped, readExpiriesOf, readJson, requireKeyLength, wrong } from './archive-records.ts';
import { KeyParts, SavedKeyParts } from './key-parts.ts';
import { expiryNameOf, parseEntryName } from './names.ts';
import { canonicalString, type KeyPart } from './record.ts';
import { collectKey } from './references.ts';
import { type ByteString, KeySpace, RedisScope, showKey } from './scope.ts';

/** Maximum number of keys among which equal ones are found: 64 MB. */
const KEYS_MAX = 2_000_000;

const State = SavedKeyParts.extend({
  tallies: SavedTallies,
  /** The keys read so far. Absent in the state of an earlier version. */
  keys: SavedHashSet.optional(),
});

/** Checks the entries of a key-value store: see {@link ContentCheck}. */
export function checkKeys(origin: ContentOrigin, from?: Json): ContentCheck {
  return new KeysCheck(origin, from);
}

class KeysCheck implements ContentCheck {
  readonly #archive: ContentOrigin['archive'];
  readonly #space: KeySpace | undefined;
  readonly #sum: TallyBook;
  readonly #keys: HashSet;
  readonly #parts: KeyParts;
  readonly #fieldsOf: (namespace: string) => readonly CollectedField[];

  constructor({ archive, scope, fieldsOf = () => [] }: ContentOrigin, from: Json | undefined) {
    const state = from === undefined ? undefined : State.parse(from);
    const parsed = RedisScope.safeParse(scope);
    this.#archive = archive;
    this.#fieldsOf = fieldsOf;
    this.#space = parsed.success ? new KeySpace(parsed.data) : undefined;
    this.#sum = new TallyBook(state?.tallies);
    this.#keys = new HashSet(KEYS_MAX, state?.keys);
    this.#parts = new KeyParts(state);
  }

  open(entry: IndexEntry): EntrySink | undefined {
    const name = parseEntryName(entry.name);
    if (!name) throw wrong(entry.name, 'it is not an entry of a Redis store');
    const { namespace } = name;
    // Expiry times are read together with the JSON entry they belong to.
    if (name.form === 'expiry') return pulledSink(() => this.#requireJson(entry));
    if (name.form === 'json') return pulledSink((content) => this.#readJson(entry, content, namespace));
    const sink = pulledSink(async (content) => {
      for await (const { part } of parseTyped(content, entry)) this.#addPart(entry, part, namespace);
    });
    return {
      write: (chunk) => sink.write(chunk),
      end: () => sink.end(),
      abort: async () => {
        await sink.abort();
        this.#parts.abort();
      },
    };
  }

  async #requireJson(expiry: IndexEntry): Promise<void> {
    const json = expiry.name.replace(/\.expiry\.jsonl$/, '.json');
    if (expiryNameOf(json) !== expiry.name || !(await this.#archive.find(json))) {
      throw wrong(expiry.name, 'the entry that it belongs to is missing');
    }
  }

  async #readJson(entry: IndexEntry, content: AsyncIterable<Uint8Array>, named: string): Promise<void> {
    const expiries = await readExpiriesOf(this.#archive, entry);
    const fields = this.#fieldsOf(named);
    let expiring = 0;
    for await (const { key, value } of readJson(content, entry, expiries)) {
      const namespace = this.#namespaceOf(entry, key, named);
      // Excludes expiry times added by a view of the archive, which the manifest does not include.
      const expiresAt = expiries.byKey.get(key) ?? null;
      if (expiresAt !== null) expiring++;
      this.#requireNew(entry, key);
      this.#sum.add(`keys:${namespace}`, canonicalString(key, value, expiresAt));
      if (fields.length > 0 && this.#space) collectKey(this.#space, named, { key, value }, fields);
    }
    if (expiring < expiries.byKey.size) {
      throw wrong(expiryNameOf(entry.name), `it has keys that ${entry.name} does not have`);
    }
  }

  #addPart(entry: IndexEntry, part: KeyPart, named: string): void {
    const namespace = this.#namespaceOf(entry, part.key, named);
    const whole = this.#parts.add(entry.name, part);
    if (!whole) return;
    this.#requireNew(entry, whole.key);
    this.#sum.add(`keys:${namespace}`, whole.canonical(whole.expiresAt));
  }

  /** A restore would write only one of two equal keys. */
  #requireNew({ name }: IndexEntry, key: ByteString): void {
    if (!this.#keys.add(key)) throw wrong(name, `the archive contains the key "${showKey(key)}" twice`);
  }

  /** The namespace under which a key was counted. */
  #namespaceOf({ name }: IndexEntry, key: ByteString, named: string): string {
    requireKeyLength(name, key);
    if (this.#space === undefined) return named;
    const namespace = this.#space.namespaceOf(key);
    if (namespace !== undefined) return namespace;
    throw wrong(name, `key "${showKey(key)}" is not part of the scope that the archive was saved from`);
  }

  save(): Json {
    return { tallies: this.#sum.saved(), keys: this.#keys.save(), ...this.#parts.save() };
  }

  async end(): Promise<ContentFindings> {
    return { tallies: this.#sum.tallies(), problems: [], warnings: [] };
  }
}
