import { IntegrityError } from '../../core/errors.ts';

/** Depth at which Qdrant's own parser (serde_json) gives up. */
export const DEPTH_MAX = 128;
/** The rest of an array that holds numbers only, up to its closing bracket. */
const NUMBERS = /[\d,.eE+-]*\]/y;

/** One point, as the exact text that the server wrote, which is also what it takes back. */
export interface PointText {
  /** JSON text of the id: digits, or a UUID in quotes. */
  readonly id: string;
  /** The point as JSON text on one line. Numbers are never parsed, so none can lose a digit. */
  readonly raw: string;
  /** The same with the keys of all objects sorted: equal for equal points, whatever order a server writes them in. */
  readonly canonical: string;
}

/**
 * Walks over compact JSON (no blanks between tokens), as Qdrant writes it, without making values of it: for canonical
 * text, keys are sorted and everything else stays as it is. Faster than JSON.parse where most of the text is numbers,
 * and exact where JSON.parse is not (integers beyond 2^53, 1.0 against 1).
 * Throws IntegrityError where the text is no such JSON.
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
    if (code === 0x7b) return canonicalObject(this.object(depth));
    if (code === 0x5b) return this.#array(depth);
    const start = this.at;
    if (code === 0x22) this.#string();
    else this.#literal();
    return this.text.slice(start, this.at);
  }

  /** Steps over an object; returns the canonical texts of its values by the JSON text of their keys. */
  object(depth = 0): Map<string, string> {
    const members = new Map<string, string>();
    this.eachMember(depth, (key) => {
      if (members.has(key)) throw this.#broken(`the key ${key.slice(0, 80)} occurs twice`);
      members.set(key, this.value(depth + 1));
    });
    return members;
  }

  /** Steps over an object; `member` must step over the value of the key that it is given (JSON text, with quotes). */
  eachMember(depth: number, member: (key: string) => void): void {
    if (depth > DEPTH_MAX) throw this.#broken(`it is nested deeper than ${DEPTH_MAX} levels`);
    this.expect('{');
    if (this.#skip('}')) return;
    do {
      const start = this.at;
      if (this.text.charCodeAt(start) !== 0x22) throw this.#broken('a key is missing');
      this.#string();
      const key = this.text.slice(start, this.at);
      this.expect(':');
      member(key);
    } while (this.#skip(','));
    this.expect('}');
  }

  /** Steps over an array; `element` must step over one element. */
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

  /** Throws where anything follows. */
  end(): void {
    if (this.at !== this.text.length) throw this.#broken('something follows its end');
  }

  #array(depth: number): string {
    if (depth > DEPTH_MAX) throw this.#broken(`it is nested deeper than ${DEPTH_MAX} levels`);
    const { text } = this;
    const start = this.at;
    // Vectors: numbers and commas only, up to the closing bracket. Most of all bytes go this way.
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
      while (text.charCodeAt(at - 1 - slashes) === 0x5c) slashes++;
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

/** What is read is not JSON of points; `at` is the place in it. */
export function notAPoint(problem: string, at: number): IntegrityError {
  return new IntegrityError(`This is not the JSON of Qdrant points: ${problem}, at character ${at}.`, {
    remedy: 'If it is from an archive, use another copy of it. If it is from a server, check its address.',
  });
}

/** Whether this is the JSON text of a point's id. */
export function isPointId(id: string | undefined): id is string {
  return id !== undefined && /^(\d{1,20}|"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")$/.test(id);
}

/** Whether a point has a field of this name (JSON text). */
export function isPointField(key: string): boolean {
  return key === '"id"' || key === '"payload"' || key === '"vector"';
}

/** A point of a server that is newer than this code. */
export function unknownField(id: string, key: string): IntegrityError {
  return new IntegrityError(`Point ${id} has a field ${key.slice(0, 80)} that this version does not know.`, {
    remedy: 'Save and restore the collection by snapshot.',
  });
}

/** Canonical text of an object from the texts of its members. */
export function canonicalObject(members: Map<string, string>): string {
  const keys = [...members.keys()].sort();
  return `{${keys.map((key) => `${key}:${members.get(key)}`).join(',')}}`;
}

/** Steps over one point. Throws IntegrityError where it has no id, or another field than a point has. */
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

/** Reads one line of a points entry. Throws IntegrityError where it is not exactly one point. */
export function parsePointLine(line: string): PointText {
  const json = new CompactJson(line);
  const point = readPoint(json);
  json.end();
  return point;
}

/** Order of ids, as Qdrant scrolls: numbers before UUIDs, each ascending. Negative, zero or positive. */
export function compareIds(left: string, right: string): number {
  const leftText = left.startsWith('"');
  if (leftText !== right.startsWith('"')) return leftText ? 1 : -1;
  if (!leftText && left.length !== right.length) return left.length - right.length;
  return left < right ? -1 : left > right ? 1 : 0;
}

/** Digits and what else a number may hold: `+ - . E e`. */
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
