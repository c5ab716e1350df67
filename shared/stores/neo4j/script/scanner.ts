import { InvalidInputError } from '../../../core/errors.ts';
import { RESERVED_PREFIX } from '../names.ts';

/** Longest name that is taken, in characters. */
const NAME_CHARACTERS_MAX = 16_000;
/** A name that the exporter leaves without back-ticks, because it is an identifier of Java. */
const PLAIN_NAME = /[\p{L}\p{Nl}\p{Sc}\p{Pc}][\p{L}\p{Nl}\p{Sc}\p{Pc}\p{Mn}\p{Mc}\p{Nd}]*/uy;
/** The exporter escapes neither back-ticks nor backslashes within names, so names that hold one can't be told apart. */
const QUOTED_NAME = /`([^`\\\0]+)`/y;
const SPACE = /\s*/y;

/** Reads one statement from left to right, and refuses it where it is not what has to come. */
export class Scanner {
  readonly #text: string;
  readonly #line: number;
  #at = 0;

  /** @param line  number of the statement's first line in the script, from 1 */
  constructor(text: string, line: number) {
    this.#text = text;
    this.#line = line;
  }

  /** The text that a sticky expression finds here, behind white space; undefined where it finds none. */
  match(expression: RegExp): RegExpExecArray | undefined {
    SPACE.lastIndex = this.#at;
    SPACE.exec(this.#text);
    expression.lastIndex = SPACE.lastIndex;
    const found = expression.exec(this.#text);
    if (!found) return undefined;
    this.#at = expression.lastIndex;
    return found;
  }

  /** Whether exactly this text comes here; it is taken then. */
  has(literal: string): boolean {
    SPACE.lastIndex = this.#at;
    SPACE.exec(this.#text);
    if (!this.#text.startsWith(literal, SPACE.lastIndex)) return false;
    this.#at = SPACE.lastIndex + literal.length;
    return true;
  }

  /** Takes these texts, with or without white space between them. */
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

  /** Labels as a pattern has them: `:A:B`; at least one. */
  labels(): string[] {
    const labels: string[] = [];
    this.expect(':');
    do labels.push(this.name());
    while (this.has(':'));
    return labels;
  }

  /** Things with commas between them, up to `end`; none where `end` comes at once. */
  list<T>(end: string, read: () => T): T[] {
    const items: T[] = [];
    if (this.has(end)) return items;
    do items.push(read());
    while (this.has(','));
    this.expect(end);
    return items;
  }

  /** Nothing may come any more. */
  end(): void {
    if (this.#text.slice(this.#at).trim() !== '') throw this.refuse('the end of the statement');
  }

  /** The error that says what had to come here. It tells the place, not what stands there: that may be data. */
  refuse(expected: string): InvalidInputError {
    const lines = this.#text.slice(0, this.#at).split('\n').length - 1;
    return refusedScript(this.#line + lines, `expected ${expected.slice(0, 200)}`);
  }
}

/** The error for a script that is none of the exporter's; `line` counts from 1. */
export function refusedScript(line: number, problem: string): InvalidInputError {
  return new InvalidInputError(
    `graph/neo4j.dump, line ${line}: this is not what apoc.export.cypher writes: ${problem}.`,
    {
      remedy:
        'Nothing of the script is executed, and nothing was changed. Check that line. Use another copy of the archive, or restore it without its script.',
    },
  );
}
