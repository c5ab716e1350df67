import { z } from 'zod';
import { HashSample } from '../../core/hash-sample.ts';
import { wrong } from './archive-records.ts';
import { ContentDigest, canonicalKey, canonicalString, KEY_TYPES, type KeyPart } from './record.ts';
import { type ByteString, showKey } from './scope.ts';

/** Maximum number of stream entry IDs held; longer streams are sampled. */
const IDS_MAX = 250_000;

export const SavedKeyParts = z.object({
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
export type SavedKeyParts = z.infer<typeof SavedKeyParts>;

/** A key of which all parts have been read. */
export interface WholeKey {
  readonly key: ByteString;
  readonly expiresAt: number | null;
  /** Its canonical form, with this expiry. */
  canonical(expiresAt: number | null): Buffer;
}

/** A key of which only some parts have been read. */
interface OpenKey {
  readonly key: ByteString;
  readonly type: KeyPart['type'];
  readonly digest: ContentDigest;
  readonly ids: HashSample;
}

/** Puts the parts of keys together, in the order of the archive. Memory does not depend on the size of a key. */
export class KeyParts {
  /**
   * Undefined between two keys. If the export restarted reading a key because it had changed, abandoned parts precede
   * the key: a part with offset 0 starts it again.
   */
  #open: OpenKey | undefined;
  #wasAborted: boolean;

  /** @param from state to continue from */
  constructor(from?: SavedKeyParts) {
    this.#wasAborted = from?.cut ?? false;
    if (!from?.open) return;
    const { key, type, digest, ids } = from.open;
    this.#open = {
      key: Buffer.from(key, 'base64').toString('latin1'),
      type,
      digest: new ContentDigest(type, digest),
      ids: new HashSample(ids),
    };
  }

  /** Notes that the rest of an entry is not read. */
  abort(): void {
    this.#wasAborted = true;
  }

  /**
   * Adds a part, and returns its key if this was the last one. Throws InvalidInputError, which names the place, if
   * parts are missing or contradict each other.
   */
  add(place: string, part: KeyPart): WholeKey | undefined {
    const { key, type, offset, last, items, expiresAt, stream } = part;
    const isOpen = this.#open?.key === key && this.#open.type === type;
    if (offset === 0) this.#wasAborted = false;
    else if (!isOpen && this.#wasAborted) return undefined;
    if (offset === 0) this.#open = { key, type, digest: new ContentDigest(type), ids: new HashSample() };
    else if (!isOpen) throw wrong(place, `the ${type} "${showKey(key)}" has no beginning`);
    const open = this.#open;
    if (!open) return undefined;
    open.digest.add(items);
    if (type === 'stream') for (const [id] of items) open.ids.add(String(id), IDS_MAX);
    if (!last) return undefined;
    this.#open = undefined;
    for (const { pending } of stream?.groups ?? []) {
      const missing = pending.find(([id]) => open.ids.has(id) === false);
      if (missing) {
        throw wrong(
          place,
          `the stream "${showKey(key)}" has a pending entry ${missing[0]} that it does not contain`,
        );
      }
    }
    const isShort = type === 'string' && offset === 0;
    return {
      key,
      expiresAt,
      canonical: (expiry) =>
        isShort
          ? canonicalString(key, items[0]?.[0] ?? Buffer.alloc(0), expiry)
          : canonicalKey(key, type, open.digest, expiry, stream),
    };
  }

  /** Returns the state from which another process continues. */
  save(): SavedKeyParts {
    const open = this.#open;
    return {
      cut: this.#wasAborted,
      open: open
        ? {
            key: Buffer.from(open.key, 'latin1').toString('base64'),
            type: open.type,
            digest: open.digest.hex(),
            ids: open.ids.save(),
          }
        : null,
    };
  }
}
