import { InvalidInputError } from '../../../core/errors.ts';
import { RESERVED_PREFIX } from '../names.ts';

/** Maximum length of a name, in characters. */
const NAME_CHARACTERS_MAX = 16_000;
/** A name that the exporter writes without backticks, because it is a Java identifier. */
const PLAIN_NAME = /[\p{L}\p{Nl}\p{Sc}\p{Pc}][\p{L}\p{Nl}\p{Sc}\p{Pc}\p{Mn}\p{Mc}\p{Nd}]*/uy;
/** The exporter escapes neither backticks nor backslashes in names, so names that contain one are ambiguous. */
const QUOTED_NAME = /`([^`\\\0]+)`/y;
const SPACE = /\s*/y;

/** Parses one statement from left to right, and rejects it at the first unexpected token. */
export class Scanner {
  readonly #text: string;
  readonly #line: number;
  #at = 0;

  /** @param line  number of the statement's first line in the script, from 1 */
  constructor(text: string, line: number) {
    this.#text = text;
    this.#line = line;
  }

  /** Matches a sticky expression at the current position, after white space; undefined if it does not match. */
  match(expression: RegExp): RegExpExecArray | undefined {
    SPACE.lastIndex = this.#at;
    SPACE.exec(this.#text);
    expression.lastIndex = SPACE.lastIndex;
    const found = expression.exec(this.#text);
    if (!found) return undefined;
    this.#at = expression.lastIndex;
    return found;
  }

  /** Consumes this literal text if it comes next, and returns whether it did. */
  has(literal: string): boolean {
    SPACE.lastIndex = this.#at;
    SPACE.exec(this.#text);
    if (!this.#text.startsWith(literal, SPACE.lastIndex)) return false;
    this.#at = SPACE.lastIndex + literal.length;
    return true;
  }

  /** Requires these texts in order, with or without white space between them. */
  expect(...literals: readonly string[]): void {
    for (const literal of literals) if (!this.has(literal)) throw this.refuse(`"${literal}"`);
  }

  /** A name of a label, type, property, index or constraint. */
  name(): string {
    const name = this.match(QUOTED_NAME)?.[1] ?? this.match(PLAIN_NAME)?.[0];
    if (name === undefined || name.length > NAME_CHARACTERS_MAX) throw this.refuse('a name');
    if (name.startsWith(RESERVED_PREFIX)) {
      throw this.refuse(`a name that does not start with ${RESERVED_PREFIX}, which is reserved for ngbak`);
    }
    return name;
  }

  /** Labels in pattern syntax: `:A:B`; at least one. */
  labels(): string[] {
    const labels: string[] = [];
    this.expect(':');
    do labels.push(this.name());
    while (this.has(':'));
    return labels;
  }

  /** Items separated by commas, up to `end`; none if `end` follows immediately. */
  list<T>(end: string, read: () => T): T[] {
    const items: T[] = [];
    if (this.has(end)) return items;
    do items.push(read());
    while (this.has(','));
    this.expect(end);
    return items;
  }

  /** Requires the end of the statement. */
  end(): void {
    if (this.#text.slice(this.#at).trim() !== '') throw this.refuse('the end of the statement');
  }

  /** The error for an unexpected token. It states the position, not the text found there, which may be data. */
  refuse(expected: string): InvalidInputError {
    const lines = this.#text.slice(0, this.#at).split('\n').length - 1;
    return refusedScript(this.#line + lines, `expected ${expected.slice(0, 200)}`);
  }
}

/** The error for a script that the exporter did not write; `line` counts from 1. */
export function refusedScript(line: number, problem: string): InvalidInputError {
  return new InvalidInputError(
    `graph/neo4j.dump, line ${line}: this is not what apoc.export.cypher writes: ${problem}.`,
    {
      remedy:
        'Nothing of the script is executed, and nothing was changed. Check that line. Use another copy of the archive, or restore it without its script.',
    },
  );
}
