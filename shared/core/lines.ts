const LINE_FEED = 10;

/** Requirements for a text, each with the error for a violation. */
export interface LineRules {
  /** Maximum length of a line, in bytes, without its line feed. */
  readonly bytesMax: number;
  tooLong(): Error;
  /** Absent: invalid UTF-8 is replaced. */
  notUtf8?(cause: unknown): Error;
  /** Absent: the last line may lack its line feed. */
  unfinished?(): Error;
}

/** Splits its input into lines, without their line feeds. Holds one line. */
export class LineSplitter {
  readonly #rules: LineRules;
  readonly #decoder: TextDecoder | undefined;
  /** The start of an incomplete line, and its length in bytes. */
  #rest: Buffer[] = [];
  #bytes = 0;

  /** @param rest the incomplete line of an earlier splitter: see {@link rest} */
  constructor(rules: LineRules, rest: Uint8Array = Buffer.alloc(0)) {
    this.#rules = rules;
    if (rules.notUtf8) this.#decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
    this.#keep(Buffer.from(rest));
  }

  /** The start of an incomplete line. */
  get rest(): Buffer {
    return Buffer.concat(this.#rest);
  }

  /** The lines that end in a chunk. */
  *push(chunk: Uint8Array): Generator<string> {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let start = 0;
    for (let end = bytes.indexOf(LINE_FEED); end >= 0; end = bytes.indexOf(LINE_FEED, start)) {
      yield this.#line(bytes.subarray(start, end));
      start = end + 1;
    }
    // Copied, because the owner of the chunk's buffer may reuse it.
    if (start < bytes.length) this.#keep(Buffer.from(bytes.subarray(start)));
  }

  /** The last line, if it has no line feed. */
  *end(): Generator<string> {
    if (this.#bytes === 0) return;
    if (this.#rules.unfinished) throw this.#rules.unfinished();
    yield this.#line(Buffer.alloc(0));
  }

  #keep(bytes: Buffer): void {
    this.#bytes += bytes.length;
    if (this.#bytes > this.#rules.bytesMax) throw this.#rules.tooLong();
    this.#rest.push(bytes);
  }

  #line(end: Buffer): string {
    if (this.#bytes + end.length > this.#rules.bytesMax) throw this.#rules.tooLong();
    const line = this.#bytes === 0 ? end : Buffer.concat([...this.#rest, end]);
    this.#rest = [];
    this.#bytes = 0;
    if (!this.#decoder) return line.toString('utf8');
    try {
      return this.#decoder.decode(line);
    } catch (cause) {
      throw this.#rules.notUtf8?.(cause) ?? cause;
    }
  }
}

/** The lines of a stream, without their line feeds. Holds one line. */
export async function* readLines(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  rules: LineRules,
): AsyncGenerator<string> {
  const splitter = new LineSplitter(rules);
  for await (const chunk of chunks) for (const line of splitter.push(chunk)) yield line;
  for (const line of splitter.end()) yield line;
}
