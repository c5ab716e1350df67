import { isUtf8 } from 'node:buffer';
import type { EntryPiece, EntryReader } from '../../archive/format/types.ts';
import { wholeEntry } from '../../archive/format/whole-entry.ts';
import { parseInput } from '../../core/input.ts';
import { parseTyped, readExpiriesOf, readJson, wrong } from '../../stores/redis/archive-records.ts';
import { VALUE_BYTES_MAX } from '../../stores/redis/json-entry.ts';
import { isJsonText } from '../../stores/redis/json-text.ts';
import { entryName, parseEntryName } from '../../stores/redis/names.ts';
import type { KeyPart } from '../../stores/redis/record.ts';
import {
  type ByteString,
  KEY_BYTES_MAX,
  KeySpace,
  RedisScope,
  showKey,
  toByteString,
  toBytes,
} from '../../stores/redis/scope.ts';
import { FOREIGN_SCOPE, type Form, type FormPlace, type KeyRecord } from './form.ts';
import type { LossBook } from './losses.ts';

/** Size at which an entry is closed, in bytes. */
const ENTRY_BYTES = 4 * 1024 ** 2;

/** Namespaces as keys `<prefix><namespace>:<id>` whose strings are JSON. */
export class RedisForm implements Form {
  readonly #place: FormPlace;
  readonly #space: KeySpace;

  constructor(place: FormPlace) {
    this.#place = place;
    this.#space = new KeySpace(parseInput(RedisScope, place.scope, 'The scope of the keys', FOREIGN_SCOPE));
  }

  async *read(archive: EntryReader, namespace: string, losses: LossBook): AsyncGenerator<KeyRecord> {
    const strings = new StringParts();
    for await (const entry of archive.entries('kv/')) {
      const name = parseEntryName(entry.name);
      if (!name) throw wrong(entry.name, 'it is not an entry of a Redis store');
      if (name.namespace !== namespace || name.form === 'expiry') continue;
      if (name.form === 'json') {
        const expiries = await readExpiriesOf(archive, entry);
        for await (const { key, value, expiresAt } of readJson(archive.open(entry), entry, expiries)) {
          const record = this.#record(namespace, { key, expiresAt, isString: true }, losses);
          if (record !== undefined) yield { id: record, value };
        }
        continue;
      }
      for await (const { part } of parseTyped(archive.open(entry), entry)) {
        const whole = strings.add(part);
        if (!whole) continue;
        const { key, type, expiresAt } = part;
        const id = this.#record(namespace, { key, expiresAt, isString: type === 'string' }, losses);
        if (id === undefined) continue;
        const { value } = whole;
        if (value === undefined) losses.add('too-large', showKey(key));
        else if (isJsonText(value)) yield { id, value };
        else losses.add('not-json', showKey(key));
      }
    }
  }

  async readOthers(archive: EntryReader, losses: LossBook): Promise<void> {
    const strings = new StringParts();
    const { namespaces } = this.#place.movable;
    for await (const entry of archive.entries('kv/')) {
      const name = parseEntryName(entry.name);
      if (!name || name.form === 'expiry' || namespaces.includes(name.namespace)) continue;
      const content = archive.open(entry);
      if (name.form === 'json') {
        const none = { byKey: new Map(), others: null };
        for await (const { key } of readJson(content, entry, none)) losses.add('other-keys', showKey(key));
        continue;
      }
      for await (const { part } of parseTyped(content, entry))
        if (strings.add(part)) losses.add('other-keys', showKey(part.key));
    }
  }

  /** The ID of a key; undefined if it is not a record, which is counted. */
  #record(
    namespace: string,
    { key, expiresAt, isString }: { key: ByteString; expiresAt: number | null; isString: boolean },
    losses: LossBook,
  ): string | undefined {
    const { movable, now } = this.#place;
    const prefix = this.#prefixOf(namespace);
    const derived = movable.derived[namespace];
    const name = showKey(key);
    if (!key.startsWith(prefix)) {
      const isDerived = derived !== undefined && key.startsWith(prefix.slice(0, -1) + derived);
      losses.add(isDerived ? 'derived' : 'other-keys', name);
    } else if (!isString) losses.add('types', name);
    else if (!isUtf8(toBytes(key))) losses.add('not-text', name);
    else if (expiresAt !== null && expiresAt <= now) losses.add('expired', name);
    else {
      if (expiresAt !== null) losses.add('expiry', name);
      return toBytes(key.slice(prefix.length)).toString('utf8');
    }
    return undefined;
  }

  encode(namespace: string, { id, value }: KeyRecord, losses: LossBook): Buffer | undefined {
    const key = this.#prefixOf(namespace) + toByteString(id);
    if (key.length > KEY_BYTES_MAX) {
      losses.add('long-keys', showKey(key));
      return undefined;
    }
    return Buffer.concat([Buffer.from(`${JSON.stringify(toBytes(key).toString('utf8'))}: `), value]);
  }

  async *pieces(namespace: string, records: AsyncIterable<Buffer>): AsyncGenerator<EntryPiece> {
    let number = 1;
    let held: Buffer[] = [];
    let bytes = 0;
    const flush = () => {
      const content = Buffer.concat([...held, Buffer.from('\n}\n')]);
      held = [];
      bytes = 0;
      return wholeEntry(entryName(namespace, 'json', number++), content);
    };
    for await (const record of records) {
      held.push(Buffer.from(held.length === 0 ? '{\n' : ',\n'), record);
      bytes += record.length;
      if (bytes >= ENTRY_BYTES) yield flush();
    }
    if (held.length > 0) yield flush();
  }

  #prefixOf(namespace: string): ByteString {
    return toByteString(this.#space.prefixOf(namespace) ?? `${namespace}:`);
  }
}

/**
 * Puts the parts of strings together, in the order of the archive. Holds one string of at most 64 MiB. A part with
 * offset 0 starts its key again.
 */
class StringParts {
  #key: ByteString | undefined;
  #blocks: Buffer[] | undefined = [];
  #bytes = 0;

  /** The key is complete with this part: its value, or undefined if it is too large or no string. */
  add(part: KeyPart): { readonly value: Buffer | undefined } | undefined {
    if (part.offset === 0) {
      this.#key = part.key;
      this.#blocks = [];
      this.#bytes = 0;
    }
    // Parts without a beginning belong to a reading that was interrupted.
    if (part.key !== this.#key) return undefined;
    if (part.type === 'string') {
      for (const item of part.items) {
        for (const block of item) {
          this.#bytes += block.length;
          this.#blocks?.push(block);
        }
      }
      if (this.#bytes > VALUE_BYTES_MAX) this.#blocks = undefined;
    }
    if (!part.last) return undefined;
    this.#key = undefined;
    return { value: this.#blocks && Buffer.concat(this.#blocks) };
  }
}
