import { isUtf8 } from 'node:buffer';
import {
  BACKSLASH,
  CLOSE_BRACE,
  CLOSE_BRACKET,
  COLON,
  COMMA,
  isSpace,
  OPEN_BRACE,
  OPEN_BRACKET,
  QUOTE,
} from '../json-bytes.ts';
import { isJsonText } from './json-text.ts';

/** Maximum length of a key in a JSON entry, in bytes of its JSON text. */
const KEY_TEXT_BYTES_MAX = 64 * 1024;
/**
 * Maximum length of a value in a JSON entry, in bytes; it is held in memory while it is read. Archives written by ngbak
 * contain at most 8 MiB.
 */
export const VALUE_BYTES_MAX = 64 * 1024 ** 2;

/** One member of the object: the key's bytes, and the value's exact JSON text. */
export interface Member {
  readonly key: Buffer;
  readonly value: Buffer;
}

/** The bytes are not a JSON object that this reader accepts. */
export class JsonMemberError extends Error {}

/**
 * Streams the members of one JSON object in order. Values are cut out, not parsed and serialized again, so that the
 * bytes are restored exactly: white space, order of fields, notation of numbers. Accepts any JSON object, not only
 * those that ngbak wrote; holds one member at a time.
 *
 * Throws {@link JsonMemberError}, whose message states what is wrong and where, without data.
 */
export async function* readMembers(content: AsyncIterable<Uint8Array>): AsyncGenerator<Member> {
  const scanner = new MemberScanner();
  for await (const chunk of content)
    yield* scanner.feed(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length));
  scanner.end();
}

type State = 'start' | 'first' | 'key' | 'in-key' | 'colon' | 'value' | 'in-value' | 'after' | 'end';

/** The push parser behind {@link readMembers}. Its errors are {@link JsonMemberError}s. */
export class MemberScanner {
  #state: State = 'start';
  /** Fragments of the current key or value from earlier chunks. */
  #parts: Buffer[] = [];
  #length = 0;
  #key: Buffer = Buffer.alloc(0);
  #depth = 0;
  #inString = false;
  #escaped = false;
  /** Offset of the current chunk within the entry. */
  #base = 0;

  /** The members that end within this chunk. */
  *feed(bytes: Uint8Array): Generator<Member> {
    const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    // Start of the current key or value within this chunk.
    let start = 0;
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at] as number;
      switch (this.#state) {
        case 'in-key':
          if (this.#escaped) this.#escaped = false;
          else if (byte === BACKSLASH) this.#escaped = true;
          else if (byte === QUOTE) {
            this.#key = this.#decodeKey(this.#take(chunk.subarray(start, at + 1)), at);
            this.#state = 'colon';
          }
          break;
        case 'in-value': {
          if (this.#inString) {
            if (this.#escaped) this.#escaped = false;
            else if (byte === BACKSLASH) this.#escaped = true;
            else if (byte === QUOTE) this.#inString = false;
          } else if (byte === QUOTE) this.#inString = true;
          else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) this.#depth++;
          else if (this.#depth > 0 && (byte === CLOSE_BRACE || byte === CLOSE_BRACKET)) this.#depth--;
          else if (this.#depth === 0 && (byte === COMMA || byte === CLOSE_BRACE)) {
            yield this.#member(chunk.subarray(start, at), at);
            this.#state = byte === COMMA ? 'key' : 'end';
          }
          break;
        }
        default:
          if (isSpace(byte)) break;
          start = at;
          this.#structure(byte, at);
      }
    }
    if (this.#state === 'in-key' || this.#state === 'in-value') {
      this.#keep(chunk.subarray(start), this.#state === 'in-key' ? KEY_TEXT_BYTES_MAX : VALUE_BYTES_MAX);
    }
    this.#base += chunk.length;
  }

  /** Handles everything outside keys and values. */
  #structure(byte: number, at: number): void {
    switch (this.#state) {
      case 'start':
        if (byte !== OPEN_BRACE) throw this.#wrong('a JSON object was expected', at);
        this.#state = 'first';
        return;
      case 'first':
      case 'key':
        if (byte === QUOTE) this.#state = 'in-key';
        else if (byte === CLOSE_BRACE && this.#state === 'first') this.#state = 'end';
        else throw this.#wrong('a key was expected', at);
        return;
      case 'colon':
        if (byte !== COLON) throw this.#wrong('":" was expected', at);
        this.#state = 'value';
        return;
      case 'value':
        if (byte === COMMA || byte === CLOSE_BRACE) throw this.#wrong('a value was expected', at);
        this.#state = 'in-value';
        this.#inString = byte === QUOTE;
        this.#depth = byte === OPEN_BRACE || byte === OPEN_BRACKET ? 1 : 0;
        return;
      default:
        throw this.#wrong('the object has ended, and more follows', at);
    }
  }

  #keep(part: Buffer, limit: number): void {
    this.#length += part.length;
    if (this.#length > limit) throw this.#wrong(`a key or value is longer than ${limit} bytes`, part.length);
    // Copied, because the owner of the chunk's buffer may reuse it.
    this.#parts.push(Buffer.from(part));
  }

  #take(rest: Buffer): Buffer {
    const whole = this.#parts.length === 0 ? rest : Buffer.concat([...this.#parts, rest]);
    this.#parts = [];
    this.#length = 0;
    return whole;
  }

  #decodeKey(text: Buffer, at: number): Buffer {
    if (!isUtf8(text)) throw this.#wrong('a key is not UTF-8', at);
    let key: unknown;
    try {
      key = JSON.parse(text.toString('utf8'));
    } catch (cause) {
      throw this.#wrong('a key is not a JSON string', at, cause);
    }
    if (typeof key !== 'string' || !key.isWellFormed()) {
      throw this.#wrong('a key contains an unpaired surrogate', at);
    }
    return Buffer.from(key, 'utf8');
  }

  #member(rest: Buffer, at: number): Member {
    let value = this.#take(rest);
    let end = value.length;
    while (end > 0 && isSpace(value[end - 1])) end--;
    value = value.subarray(0, end);
    if (value.length > VALUE_BYTES_MAX)
      throw this.#wrong(`a value is longer than ${VALUE_BYTES_MAX} bytes`, at);
    if (!isJsonText(value)) throw this.#wrong('a value is not valid JSON, or nested too deeply', at);
    return { key: this.#key, value };
  }

  /** Throws if the object is incomplete. */
  end(): void {
    if (this.#state !== 'end') throw this.#wrong('the object is not complete', 0);
  }

  #wrong(problem: string, at: number, cause?: unknown): JsonMemberError {
    return new JsonMemberError(`at byte ${this.#base + at}: ${problem}`, { cause });
  }
}
