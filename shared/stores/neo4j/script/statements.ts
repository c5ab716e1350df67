import { refusedScript } from './scanner.ts';

/** Maximum length of a statement, in characters: the exporter combines twenty records in one. */
const STATEMENT_CHARACTERS_MAX = 64 * 1024 ** 2;
/** Characters that may end a statement, or start a quoted part: quotes, backticks, semicolons, line ends. */
const MARKS = /["'`;\n]/g;

/** A statement without its semicolon, or a command of Cypher Shell, such as `:begin`. */
export interface Statement {
  readonly text: string;
  /** Number of its first line, from 1. */
  readonly line: number;
}

/**
 * Splits a script into statements, one at a time. Throws InvalidInputError if it is not UTF-8 or ends within a
 * statement.
 */
export async function* readStatements(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Statement> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let line = 1;
  let rest = '';
  /** How far `rest` has been scanned, and the quote that is open at that position. */
  let scanned = 0;
  let open = '';
  const decode = (chunk?: Uint8Array) => {
    try {
      return decoder.decode(chunk, { stream: chunk !== undefined });
    } catch {
      throw refusedScript(line, 'expected text in UTF-8');
    }
  };
  /**
   * Removes the first `length` characters of `rest` and returns them as a statement; undefined if they are white space.
   */
  const take = (length: number, behind: number): Statement | undefined => {
    const raw = rest.slice(0, length);
    const text = raw.trim();
    const first = line + countLines(raw.slice(0, raw.length - raw.trimStart().length));
    line += countLines(rest.slice(0, length + behind));
    rest = rest.slice(length + behind);
    scanned = 0;
    return text === '' ? undefined : { text, line: first };
  };
  for await (const chunk of chunks) {
    rest += decode(chunk);
    for (;;) {
      const end = open === '' ? findEnd() : closeQuote();
      if (end === undefined) break;
      if (end < 0) continue;
      const statement = take(end, 1);
      if (statement) yield statement;
    }
    if (rest.length > STATEMENT_CHARACTERS_MAX) throw refusedScript(line, 'expected a shorter statement');
  }
  rest += decode();
  const last = take(rest.length, 0);
  if (last?.text.startsWith(':')) yield last;
  else if (last) throw refusedScript(last.line, 'expected a semicolon before the end of the file');

  /** The end of the statement; -1 if a quote was opened first, undefined if more input is needed. */
  function findEnd(): number | undefined {
    MARKS.lastIndex = scanned;
    for (let mark = MARKS.exec(rest); mark; mark = MARKS.exec(rest)) {
      scanned = MARKS.lastIndex;
      if (mark[0] === ';') return mark.index;
      if (mark[0] !== '\n') {
        open = mark[0];
        return -1;
      }
      // Commands of Cypher Shell end at the end of the line.
      if (rest.slice(0, mark.index).trimStart().startsWith(':')) return mark.index;
    }
    scanned = rest.length;
    return undefined;
  }

  /** Returns -1 if the open quote was closed, undefined if more input is needed. */
  function closeQuote(): number | undefined {
    const stop = open === '`' ? /`/g : new RegExp(`\\\\|${open}`, 'g');
    stop.lastIndex = scanned;
    for (let found = stop.exec(rest); found; found = stop.exec(rest)) {
      if (found[0] !== '\\') {
        scanned = stop.lastIndex;
        open = '';
        return -1;
      }
      // The character after a backslash never closes the quote; it may be in the next chunk.
      if (found.index + 1 >= rest.length) {
        scanned = found.index;
        return undefined;
      }
      stop.lastIndex = found.index + 2;
    }
    scanned = rest.length;
    return undefined;
  }
}

function countLines(text: string): number {
  return text.split('\n').length - 1;
}
