import { hash } from 'node:crypto';
import { z } from 'zod';

const SLOTS_MIN = 1024;

/** The saved state of a {@link HashSet}. */
export const SavedHashSet = z.object({
  /** Base64, 8 bytes per text. */
  values: z.string(),
  complete: z.boolean(),
});

/**
 * A set of texts in bounded memory: it holds a 64-bit hash of each, in up to 32 bytes. Among a few million texts, the
 * probability that two have the same hash is about one in a hundred thousand.
 */
export class HashSet {
  readonly #max: number;
  /** Hash table with open addressing, two numbers per text; an empty slot holds 0 and 0. */
  #slots = new Uint32Array(2 * SLOTS_MIN);
  #size = 0;
  #isComplete: boolean;

  /** @param max  number of texts held. @param from  what {@link save} returned */
  constructor(max: number, from?: z.infer<typeof SavedHashSet>) {
    this.#max = max;
    this.#isComplete = from?.complete ?? true;
    const saved = Buffer.from(from?.values ?? '', 'base64');
    for (let at = 0; at + 8 <= saved.length; at += 8)
      this.#add(saved.readUInt32LE(at), saved.readUInt32LE(at + 4));
  }

  /** False once a text was not added because the set is full. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** Returns false if the text is in the set already; true if it is new, or if the set is full. */
  add(text: string): boolean {
    const digest = hash('sha256', text, 'buffer');
    // The first half of a hash is never 0.
    return this.#add(digest.readUInt32LE(0) || 1, digest.readUInt32LE(4));
  }

  save(): z.infer<typeof SavedHashSet> {
    const values = Buffer.alloc(8 * this.#size);
    let at = 0;
    for (let slot = 0; slot < this.#slots.length; slot += 2) {
      if (this.#slots[slot] === 0) continue;
      at = values.writeUInt32LE(this.#slots[slot] ?? 0, at);
      at = values.writeUInt32LE(this.#slots[slot + 1] ?? 0, at);
    }
    return { values: values.toString('base64'), complete: this.#isComplete };
  }

  #add(first: number, second: number): boolean {
    if (4 * (this.#size + 1) > this.#slots.length) this.#grow();
    const slot = this.#slotOf(first, second);
    if (this.#slots[slot] !== 0) return false;
    if (this.#size >= this.#max) {
      this.#isComplete = false;
      return true;
    }
    this.#slots[slot] = first;
    this.#slots[slot + 1] = second;
    this.#size++;
    return true;
  }

  /** The slot of a hash, or the one where it would be inserted. */
  #slotOf(first: number, second: number): number {
    const mask = this.#slots.length - 2;
    let slot = (2 * second) & mask;
    while (this.#slots[slot] !== 0 && (this.#slots[slot] !== first || this.#slots[slot + 1] !== second)) {
      slot = (slot + 2) & mask;
    }
    return slot;
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Uint32Array(2 * old.length);
    for (let at = 0; at < old.length; at += 2) {
      const [first = 0, second = 0] = [old[at], old[at + 1]];
      if (first === 0) continue;
      const slot = this.#slotOf(first, second);
      this.#slots[slot] = first;
      this.#slots[slot + 1] = second;
    }
  }
}
