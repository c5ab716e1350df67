import type { IntegrityError } from '../../core/errors.ts';
import {
  BACKSLASH,
  CLOSE_BRACE,
  CLOSE_BRACKET,
  COLON,
  COMMA,
  OPEN_BRACE,
  OPEN_BRACKET,
  QUOTE,
} from '../json-bytes.ts';
import { DEPTH_MAX, isPointField, isPointId, notAPoint, unknownField } from './point-text.ts';

/** Number of bytes of a string that are examined one by one before the rest of it is searched. */
const SHORT_STRING_BYTES = 24;

/**
 * Walks over compact JSON in UTF-8 as received from the server, without decoding it to a string. Used for points that
 * are digested but not kept. Vectors, which make up most of the bytes, are only searched for their end. Canonical bytes
 * are the UTF-8 encoding of the canonical text of CompactJson.
 */
class CompactBytes {
  readonly bytes: Buffer;
  at = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  /** Steps over one value. Returns its canonical bytes if they differ from the original bytes. */
  value(depth = 0): Buffer | undefined {
    const code = this.bytes[this.at];
    if (code === OPEN_BRACE) return this.object(depth);
    if (code === OPEN_BRACKET) return this.#array(depth);
    if (code === QUOTE) this.#string();
    else this.#literal();
    return undefined;
  }

  /** Like {@link value}, for an object. Reports its members to `member`, if given, with the JSON text of their keys. */
  object(depth = 0, member?: (key: string, start: number, end: number) => void): Buffer | undefined {
    const members: Member[] = [];
    let canonical = true;
    this.eachMember(depth, (key) => {
      const from = this.at;
      const changed = this.value(depth + 1);
      const last = members.at(-1);
      if (changed !== undefined || (last !== undefined && last.key >= key)) canonical = false;
      members.push({ key, value: changed ?? this.bytes.subarray(from, this.at) });
      member?.(key, from, this.at);
    });
    return canonical ? undefined : this.#sorted(members);
  }

  /** Steps over an object. `member` must step over the value of the key that it receives (JSON text, with quotes). */
  eachMember(depth: number, member: (key: string) => void): void {
    if (depth > DEPTH_MAX) throw this.#broken(`it is nested deeper than ${DEPTH_MAX} levels`);
    this.#expect(OPEN_BRACE);
    if (this.#skip(CLOSE_BRACE)) return;
    do {
      const start = this.at;
      if (this.bytes[start] !== QUOTE) throw this.#broken('a key is missing');
      this.#string();
      const key = this.bytes.toString('utf8', start, this.at);
      this.#expect(COLON);
      member(key);
    } while (this.#skip(COMMA));
    this.#expect(CLOSE_BRACE);
  }

  #sorted(members: Member[]): Buffer {
    members.sort((left, right) => (left.key < right.key ? -1 : left.key > right.key ? 1 : 0));
    const pieces: Uint8Array[] = [];
    members.forEach(({ key, value }, index) => {
      if (members[index - 1]?.key === key) throw this.#broken(`the key ${key.slice(0, 80)} occurs twice`);
      pieces.push(Buffer.from(`${index === 0 ? '{' : ','}${key}:`), value);
    });
    pieces.push(Buffer.from('}'));
    return Buffer.concat(pieces);
  }

  /** Steps over an array. `element` must step over one element. */
  eachElement(element: () => void): void {
    this.#expect(OPEN_BRACKET);
    if (this.#skip(CLOSE_BRACKET)) return;
    do element();
    while (this.#skip(COMMA));
    this.#expect(CLOSE_BRACKET);
  }

  /** Steps over the byte that must come next. */
  #expect(byte: number): void {
    if (!this.#skip(byte)) throw this.#broken(`"${String.fromCharCode(byte)}" is missing`);
  }

  #skip(byte: number): boolean {
    if (this.bytes[this.at] !== byte) return false;
    this.at++;
    return true;
  }

  #array(depth: number): Buffer | undefined {
    if (depth > DEPTH_MAX) throw this.#broken(`it is nested deeper than ${DEPTH_MAX} levels`);
    const { bytes } = this;
    const start = this.at;
    // A vector: it starts with a number, and contains no string, array or object before the closing bracket.
    const first = bytes[start + 1] ?? 0;
    if (first === 0x2d || (first >= 0x30 && first <= 0x39)) {
      const end = bytes.indexOf(CLOSE_BRACKET, start);
      if (end < 0) throw this.#broken('an array does not end');
      const inner = bytes.subarray(start + 1, end);
      if (!inner.includes(QUOTE) && !inner.includes(OPEN_BRACKET) && !inner.includes(OPEN_BRACE)) {
        this.at = end + 1;
        return undefined;
      }
    }
    const elements: Uint8Array[] = [];
    let canonical = true;
    this.eachElement(() => {
      const from = this.at;
      const changed = this.value(depth + 1);
      if (changed !== undefined) canonical = false;
      elements.push(changed ?? bytes.subarray(from, this.at));
    });
    if (canonical) return undefined;
    const pieces = elements.flatMap((element, index) => [Buffer.from(index === 0 ? '[' : ','), element]);
    return Buffer.concat([...pieces, Buffer.from(']')]);
  }

  #string(): void {
    const { bytes } = this;
    for (let at = this.at + 1; ; at++) {
      const near = Math.min(at + SHORT_STRING_BYTES, bytes.length);
      while (at < near && bytes[at] !== QUOTE) at++;
      if (bytes[at] !== QUOTE) at = bytes.indexOf(QUOTE, at);
      if (at < 0) throw this.#broken('a string does not end');
      let slashes = 0;
      while (bytes[at - 1 - slashes] === BACKSLASH) slashes++;
      if (slashes % 2 === 0) {
        this.at = at + 1;
        return;
      }
    }
  }

  /** Steps over a number, true, false or null: everything up to a delimiter. */
  #literal(): void {
    const start = this.at;
    for (;;) {
      const code = this.bytes[this.at];
      if (code === undefined || code === COMMA || code === CLOSE_BRACE || code === CLOSE_BRACKET) break;
      this.at++;
    }
    if (this.at === start) throw this.#broken('a value is missing');
  }

  #broken(problem: string): IntegrityError {
    return notAPoint(problem, this.at);
  }
}

interface Member {
  readonly key: string;
  readonly value: Uint8Array;
}

/** A page of points of which only the canonical bytes are needed. */
export interface BytesPage {
  /** The canonical bytes of each point, valid as long as the response is. */
  readonly points: readonly Uint8Array[];
  /** JSON text of the ID at which the next page starts; null if this is the last page. */
  readonly next: string | null;
}

/** Parses the response to a request for points: returns the canonical bytes of each, in response order. */
export function readPointBytes(answer: Buffer): BytesPage {
  const json = new CompactBytes(answer);
  const points: Uint8Array[] = [];
  let next = 'null';
  const elements = () => json.eachElement(() => points.push(pointBytes(json)));
  json.eachMember(0, (outer) => {
    if (outer !== '"result"') {
      json.value();
      return;
    }
    // A page of a scroll is an object; points requested by ID are a list.
    if (answer[json.at] === OPEN_BRACKET) {
      elements();
      return;
    }
    json.eachMember(1, (key) => {
      if (key === '"points"') {
        elements();
        return;
      }
      const start = json.at;
      json.value();
      if (key === '"next_page_offset"') next = answer.toString('utf8', start, json.at);
    });
  });
  return { points, next: next === 'null' ? null : next };
}

function pointBytes(json: CompactBytes): Uint8Array {
  const start = json.at;
  let id: string | undefined;
  let unknown: string | undefined;
  const canonical = json.object(0, (key, from, to) => {
    if (key === '"id"') id = json.bytes.toString('latin1', from, to);
    else if (!isPointField(key)) unknown ??= key;
  });
  if (!isPointId(id)) throw notAPoint('a point has no id, or one that is neither a number nor a UUID', start);
  if (unknown !== undefined) throw unknownField(id, unknown);
  return canonical ?? json.bytes.subarray(start, json.at);
}
