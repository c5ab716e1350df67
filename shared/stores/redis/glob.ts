/** One element of a pattern: any number of bytes, one byte, or one byte of a set. */
type Token = { readonly kind: 'many' } | { readonly kind: 'one'; fits(byte: number): boolean };

/**
 * A Redis glob pattern (https://redis.io/docs/latest/commands/keys/) over byte strings: `*`, `?`, `[abc]`, `[a-z]`,
 * `[^a]` and `\` as escape. Matching takes at most time proportional to pattern × text, even for hostile input: on a
 * mismatch, only the last `*` consumes another byte.
 */
export class Glob {
  readonly #tokens: readonly Token[];

  constructor(pattern: string) {
    this.#tokens = parse(pattern);
  }

  matches(text: string): boolean {
    const tokens = this.#tokens;
    let token = 0;
    let star = -1;
    let resume = 0;
    for (let at = 0; at < text.length; ) {
      const current = tokens[token];
      if (current?.kind === 'many') {
        star = token++;
        resume = at;
      } else if (current?.fits(text.charCodeAt(at))) {
        token++;
        at++;
      } else if (star >= 0) {
        token = star + 1;
        at = ++resume;
      } else return false;
    }
    while (tokens[token]?.kind === 'many') token++;
    return token === tokens.length;
  }
}

function parse(pattern: string): Token[] {
  const tokens: Token[] = [];
  for (let at = 0; at < pattern.length; at++) {
    const char = pattern.charAt(at);
    if (char === '*') {
      if (tokens.at(-1)?.kind !== 'many') tokens.push({ kind: 'many' });
    } else if (char === '?') tokens.push({ kind: 'one', fits: () => true });
    else if (char === '[') {
      const { token, end } = parseSet(pattern, at + 1);
      tokens.push(token);
      at = end;
    } else {
      if (char === '\\' && at + 1 < pattern.length) at++;
      const literal = pattern.charCodeAt(at);
      tokens.push({ kind: 'one', fits: (byte) => byte === literal });
    }
  }
  return tokens;
}

/** Parses a set after its bracket as Redis does: the closing bracket may be missing, and ranges may be reversed. */
function parseSet(pattern: string, start: number): { token: Token; end: number } {
  const isNegated = pattern.charAt(start) === '^';
  const ranges: { from: number; to: number }[] = [];
  let at = isNegated ? start + 1 : start;
  for (; at < pattern.length && pattern.charAt(at) !== ']'; at++) {
    if (pattern.charAt(at) === '\\' && at + 1 < pattern.length) {
      at++;
      ranges.push({ from: pattern.charCodeAt(at), to: pattern.charCodeAt(at) });
    } else if (pattern.charAt(at + 1) === '-' && at + 2 < pattern.length) {
      const ends = [pattern.charCodeAt(at), pattern.charCodeAt(at + 2)];
      ranges.push({ from: Math.min(...ends), to: Math.max(...ends) });
      at += 2;
    } else ranges.push({ from: pattern.charCodeAt(at), to: pattern.charCodeAt(at) });
  }
  const fits = (byte: number) => ranges.some(({ from, to }) => from <= byte && byte <= to) !== isNegated;
  return { token: { kind: 'one', fits }, end: at };
}
