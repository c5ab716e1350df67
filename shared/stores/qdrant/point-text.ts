import { IntegrityError } from '../../core/errors.ts';
import { BACKSLASH, OPEN_BRACE, OPEN_BRACKET, QUOTE } from '../json-bytes.ts';

/** Maximum depth that Qdrant's own parser (serde_json) accepts. */
export const DEPTH_MAX = 128;
/** The rest of an array that contains only numbers, up to its closing bracket. */
const NUMBERS = /[\d,.eE+-]*\]/y;

/** A point as the exact text that the server wrote, which the server also accepts. */
export interface PointText {
  /** JSON text of the ID: digits, or a UUID in quotes. */
  readonly id: string;
  /** The point as JSON text on one line. Numbers are never parsed, so no digits are lost. */
  readonly raw: string;
  /**
   * The same with the keys of all objects sorted: equal for equal points, regardless of the order in which a server
   * writes them.
   */
  readonly canonical: string;
}

/**
 * Walks over compact JSON (no whitespace between tokens), as Qdrant writes it, without creating values. The canonical
 * text has sorted keys; everything else stays unchanged. Faster than JSON.parse if most of the text consists of
 * numbers, and exact where JSON.parse is not (integers beyond 2^53, 1.0 versus 1). Throws IntegrityError for any other
 * text.
 */
export class CompactJson {
  readonly text: string;
  at = 0;

  constructor(text: string) {
    this.text = text;
  }

  /** Steps over one value and returns its canonical text. */
  value(depth = 0): string {
    const code = this.text.charCodeAt(this.at);
    if (code === OPEN_BRACE) return canonicalObject(this.object(depth));
    if (code === OPEN_BRACKET) return this.#array(depth);
    const start = this.at;
    if (code === QUOTE) this.#string();
    else this.#literal();
    return this.text.slice(start, this.at);
  }

  /** Steps over an object. Returns the canonical texts of its values by the JSON text of their keys. */
  object(depth = 0): Map<string, string> {
    const members = new Map<string, string>();
    this.eachMember(depth, (key) => {
      if (members.has(key)) throw this.#broken(`the key ${key.slice(0, 80)} occurs twice`);
      members.set(key, this.value(depth + 1));
    });
    return members;
  }

  /** Steps over an object. `member` must step over the value of the key that it receives (JSON text, with quotes). */
  eachMember(depth: number, member: (key: string) => void): void {
    if (depth > DEPTH_MAX) throw this.#broken(`it is nested deeper than ${DEPTH_MAX} levels`);
    this.expect('{');
    if (this.#skip('}')) return;
    do {
      const start = this.at;
      if (this.text.charCodeAt(start) !== QUOTE) throw this.#broken('a key is missing');
      this.#string();
      const key = this.text.slice(start, this.at);
      this.expect(':');
      member(key);
    } while (this.#skip(','));
    this.expect('}');
  }

  /** Steps over an array. `element` must step over one element. */
  eachElement(element: () => void): void {
    this.expect('[');
    if (this.#skip(']')) return;
    do element();
    while (this.#skip(','));
    this.expect(']');
  }

  /** Steps over the character that must come next. */
  expect(character: string): void {
    if (!this.#skip(character)) throw this.#broken(`"${character}" is missing`);
  }

  /** Throws if anything follows. */
  end(): void {
    if (this.at !== this.text.length) throw this.#broken('something follows its end');
  }

  #array(depth: number): string {
    if (depth > DEPTH_MAX) throw this.#broken(`it is nested deeper than ${DEPTH_MAX} levels`);
    const { text } = this;
    const start = this.at;
    // Vectors contain only numbers and commas, up to the closing bracket. They make up most of the bytes.
    NUMBERS.lastIndex = start + 1;
    if (NUMBERS.test(text)) {
      this.at = NUMBERS.lastIndex;
      return text.slice(start, this.at);
    }
    const parts: string[] = [];
    this.eachElement(() => parts.push(this.value(depth + 1)));
    return `[${parts.join(',')}]`;
  }

  #string(): void {
    const { text } = this;
    for (let at = this.at + 1; ; at++) {
      at = text.indexOf('"', at);
      if (at < 0) throw this.#broken('a string does not end');
      let slashes = 0;
      while (text.charCodeAt(at - 1 - slashes) === BACKSLASH) slashes++;
      if (slashes % 2 === 0) {
        this.at = at + 1;
        return;
      }
    }
  }

  #literal(): void {
    const { text } = this;
    for (const word of ['true', 'false', 'null']) {
      if (text.startsWith(word, this.at)) {
        this.at += word.length;
        return;
      }
    }
    const start = this.at;
    while (isNumeric(text.charCodeAt(this.at))) this.at++;
    if (this.at === start) throw this.#broken('a value is missing');
  }

  #skip(character: string): boolean {
    if (this.text[this.at] !== character) return false;
    this.at++;
    return true;
  }

  #broken(problem: string): IntegrityError {
    return notAPoint(problem, this.at);
  }
}

/** Error for text that is not the JSON of points. `at` is the position in the text. */
export function notAPoint(problem: string, at: number): IntegrityError {
  return new IntegrityError(`This is not the JSON of Qdrant points: ${problem}, at character ${at}.`, {
    remedy: 'If it is from an archive, use another copy of it. If it is from a server, check its address.',
  });
}

/** Whether a text is the JSON text of a point's ID. */
export function isPointId(id: string | undefined): id is string {
  return id !== undefined && /^(\d{1,20}|"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")$/.test(id);
}

/** Whether points have a field of this name (JSON text). */
export function isPointField(key: string): boolean {
  return key === '"id"' || key === '"payload"' || key === '"vector"';
}

/** Error for a point from a server that is newer than this code. */
export function unknownField(id: string, key: string): IntegrityError {
  return new IntegrityError(`Point ${id} has a field ${key.slice(0, 80)} that this version does not know.`, {
    remedy: 'Save and restore the collection by snapshot.',
  });
}

/** Builds the canonical text of an object from the texts of its members. */
export function canonicalObject(members: Map<string, string>): string {
  const keys = [...members.keys()].sort();
  return `{${keys.map((key) => `${key}:${members.get(key)}`).join(',')}}`;
}

/** Steps over one point. Throws IntegrityError if it has no ID, or a field that points do not have. */
export function readPoint(json: CompactJson): PointText {
  const start = json.at;
  const members = json.object();
  const id = members.get('"id"');
  if (!isPointId(id)) {
    throw new IntegrityError('A point has no id, or one that is neither a number nor a UUID.', {
      remedy: 'Use another copy of the archive, or check the address of the server.',
    });
  }
  const unknown = [...members.keys()].find((key) => !isPointField(key));
  if (unknown !== undefined) throw unknownField(id, unknown);
  return { id, raw: json.text.slice(start, json.at), canonical: canonicalObject(members) };
}

/** Parses one line of a points entry. Throws IntegrityError if it is not exactly one point. */
export function parsePointLine(line: string): PointText {
  const json = new CompactJson(line);
  const point = readPoint(json);
  json.end();
  return point;
}

/**
 * Compares IDs in Qdrant's scroll order: numbers before UUIDs, each ascending. Returns a negative number, zero or a
 * positive number.
 */
export function compareIds(left: string, right: string): number {
  const leftText = left.startsWith('"');
  if (leftText !== right.startsWith('"')) return leftText ? 1 : -1;
  if (!leftText && left.length !== right.length) return left.length - right.length;
  return left < right ? -1 : left > right ? 1 : 0;
}

/** Whether a character can be part of a number: digits and `+ - . E e`. */
function isNumeric(code: number): boolean {
  return (
    (code >= 0x30 && code <= 0x39) ||
    code === 0x2e ||
    code === 0x2d ||
    code === 0x65 ||
    code === 0x2b ||
    code === 0x45
  );
}
