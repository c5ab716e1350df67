import { z } from 'zod';
import type { IndexEntry } from '../../archive/format/types.ts';
import { pulledSink } from '../../archive/read/pulled-sink.ts';
import { HashSample } from '../../core/hash-sample.ts';
import { HashSet, SavedHashSet } from '../../core/hash-set.ts';
import type { Json } from '../../core/json.ts';
import type { ContentCheck, ContentFindings, ContentOrigin, EntrySink } from '../content-check.ts';
import { SavedTallies, TallyBook } from '../tally-book.ts';
import { parseTyped, readExpiriesOf, readJson, requireKeyLength, wrong } from './archive-records.ts';
import { expiryNameOf, parseEntryName } from './names.ts';
import { ContentDigest, canonicalKey, canonicalString, KEY_TYPES, type KeyPart } from './record.ts';
import { type ByteString, KeySpace, RedisScope, showKey } from './scope.ts';

/** Maximum number of stream entry IDs held; longer streams are sampled. */
const IDS_MAX = 250_000;

/** Maximum number of keys among which equal ones are found: 64 MB. */
const KEYS_MAX = 2_000_000;

const State = z.object({
  tallies: SavedTallies,
  /** The keys read so far. Absent in the state of an earlier version. */
  keys: SavedHashSet.optional(),
  /** Whether the end of an entry could not be read: the next entry may continue a key that started there. */
  cut: z.boolean(),
  /** The key that continues in the next entry. */
  open: z
    .object({
      key: z.string(),
      type: z.enum(KEY_TYPES),
      digest: z.string(),
      /** IDs of a stream's entries. */
      ids: z.object({ step: z.number(), hashes: z.array(z.number()) }),
    })
    .nullable(),
});

/** Checks the entries of a key-value store: see {@link ContentCheck}. */
export function checkKeys(origin: ContentOrigin, from?: Json): ContentCheck {
  return new KeysCheck(origin, from);
}

/** A key of which only some parts have been read. */
interface OpenKey {
  readonly key: ByteString;
  readonly type: KeyPart['type'];
  readonly digest: ContentDigest;
  readonly ids: HashSample;
}

class KeysCheck implements ContentCheck {
  readonly #archive: ContentOrigin['archive'];
  readonly #space: KeySpace | undefined;
  readonly #sum: TallyBook;
  readonly #keys: HashSet;
  /**
   * Undefined between two keys. If the export restarted reading a key because it had changed, abandoned parts precede
   * the key: a part with offset 0 starts it again.
   */
  #open: OpenKey | undefined;
  #wasAborted: boolean;

  constructor({ archive, scope }: ContentOrigin, from: Json | undefined) {
    const state = from === undefined ? undefined : State.parse(from);
    const parsed = RedisScope.safeParse(scope);
    this.#archive = archive;
    this.#space = parsed.success ? new KeySpace(parsed.data) : undefined;
    this.#sum = new TallyBook(state?.tallies);
    this.#keys = new HashSet(KEYS_MAX, state?.keys);
    this.#wasAborted = state?.cut ?? false;
    if (!state?.open) return;
    const { key, type, digest, ids } = state.open;
    this.#open = {
      key: Buffer.from(key, 'base64').toString('latin1'),
      type,
      digest: new ContentDigest(type, digest),
      ids: new HashSample(ids),
    };
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
        this.#wasAborted = true;
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
    let expiring = 0;
    for await (const { key, value } of readJson(content, entry, expiries)) {
      const namespace = this.#namespaceOf(entry, key, named);
      // Excludes expiry times added by a view of the archive, which the manifest does not include.
      const expiresAt = expiries.byKey.get(key) ?? null;
      if (expiresAt !== null) expiring++;
      this.#requireNew(entry, key);
      this.#sum.add(`keys:${namespace}`, canonicalString(key, value, expiresAt));
    }
    if (expiring < expiries.byKey.size) {
      throw wrong(expiryNameOf(entry.name), `it has keys that ${entry.name} does not have`);
    }
  }

  #addPart(entry: IndexEntry, part: KeyPart, named: string): void {
    const { key, type, offset, last, items, expiresAt, stream } = part;
    const namespace = this.#namespaceOf(entry, key, named);
    const isOpen = this.#open?.key === key && this.#open.type === type;
    if (offset === 0) this.#wasAborted = false;
    else if (!isOpen && this.#wasAborted) return;
    if (offset === 0) this.#open = { key, type, digest: new ContentDigest(type), ids: new HashSample() };
    else if (!isOpen) throw wrong(entry.name, `the ${type} "${showKey(key)}" has no beginning`);
    const open = this.#open;
    if (!open) return;
    open.digest.add(items);
    if (type === 'stream') for (const [id] of items) open.ids.add(String(id), IDS_MAX);
    if (!last) return;
    this.#open = undefined;
    this.#requireNew(entry, key);
    for (const { pending } of stream?.groups ?? []) {
      const missing = pending.find(([id]) => open.ids.has(id) === false);
      if (missing) {
        throw wrong(
          entry.name,
          `the stream "${showKey(key)}" has a pending entry ${missing[0]} that it does not contain`,
        );
      }
    }
    const isShort = type === 'string' && offset === 0;
    this.#sum.add(
      `keys:${namespace}`,
      isShort
        ? canonicalString(key, items[0]?.[0] ?? Buffer.alloc(0), expiresAt)
        : canonicalKey(key, type, open.digest, expiresAt, stream),
    );
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
    const { key, type, digest, ids } = this.#open ?? {};
    return {
      tallies: this.#sum.saved(),
      keys: this.#keys.save(),
      cut: this.#wasAborted,
      open:
        key === undefined || type === undefined
          ? null
          : {
              key: Buffer.from(key, 'latin1').toString('base64'),
              type,
              digest: digest?.hex() ?? '',
              ids: ids?.save() ?? { step: 1, hashes: [] },
            },
    };
  }

  async end(): Promise<ContentFindings> {
    return { tallies: this.#sum.tallies(), problems: [], warnings: [] };
  }
}
