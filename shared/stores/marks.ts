import { z } from 'zod';

/** Maximum number of characters of a name or value that is reported. */
const TEXT_MAX = 200;

/** A regular expression, or another test of a name. */
export interface NamePattern {
  test(name: string): boolean;
}

/** The test for one name. */
export function exactly(name: string): NamePattern {
  return { test: (candidate) => candidate === name };
}

/**
 * Something to look for in a store, because it reveals which version of an application wrote the data. Names are those in
 * the scope: of indexes, files, keys, and columns of tables (`table.column`); a label is looked for in the whole database.
 * A value is that of the first row of a table of a SQLite database, in the first file whose name matches.
 */
export type MarkRequest =
  | { readonly kind: 'index' | 'file' | 'key' | 'column'; readonly pattern: NamePattern }
  | { readonly kind: 'label'; readonly label: string }
  | {
      readonly kind: 'value';
      readonly pattern: NamePattern;
      readonly table: string;
      readonly column: string;
    };

/** What was found: the first name that matches a request, and its value if one was requested. */
export const FoundMark = z.object({
  kind: z.enum(['index', 'file', 'key', 'column', 'label', 'value']),
  /** For a value, `table.column`. */
  name: z.string(),
  value: z.string().optional(),
});
export type FoundMark = z.infer<typeof FoundMark>;

/** Collects the first name of one kind that matches each request. Its size is bounded by the number of requests. */
export class MarkFinder {
  readonly #kind: FoundMark['kind'];
  #open: readonly NamePattern[];
  readonly #found: FoundMark[] = [];

  constructor(kind: 'index' | 'file' | 'key' | 'column', requests: readonly MarkRequest[]) {
    this.#kind = kind;
    this.#open = requests.flatMap((request) => (request.kind === kind ? [request.pattern] : []));
  }

  /** Whether nothing more can be found. */
  get isDone(): boolean {
    return this.#open.length === 0;
  }

  see(name: string): void {
    const matching = this.#open.filter((pattern) => pattern.test(name));
    if (matching.length === 0) return;
    this.#open = this.#open.filter((pattern) => !matching.includes(pattern));
    this.#found.push({ kind: this.#kind, name: cut(name) });
  }

  get found(): readonly FoundMark[] {
    return this.#found;
  }
}

/** A mark of a value. */
export function valueMark(table: string, column: string, value: string): FoundMark {
  return { kind: 'value', name: `${table}.${column}`, value: cut(value) };
}

function cut(text: string): string {
  return text.slice(0, TEXT_MAX);
}
