/** What another form of key-value data cannot hold, and what happens to it. */
export const LOSSES = {
  expiry: 'keys with an expiry time: kept without it',
  expired: 'keys that have expired: left out',
  types: 'keys of other types than strings: left out',
  'not-json': 'strings that are not JSON: left out',
  'not-text': 'keys whose names are not UTF-8: left out',
  'too-large': 'strings of more than 64 MiB: left out',
  'long-keys': 'keys of more than 2,048 bytes: left out',
  'other-keys': 'keys of other namespaces: left out',
  columns: 'values of columns that have no field in the other form: left out',
  'other-workspaces': 'rows of other workspaces: left out',
  'other-tables': 'tables without key-value data, such as vectors and graphs: left out',
  fields: 'fields without a column in the table: left out',
  values: 'values that do not fit their column: left out',
  rows: 'records that do not fit the table, such as with too long IDs: left out',
  'other-files': 'files without key-value data, such as vectors and graphs: left out',
} as const;
export type LossCode = keyof typeof LOSSES;

/** What does not need to be confirmed, because nothing is lost by it. */
export const NOTES = {
  derived: 'keys of an index that the system builds again when it starts: left out',
  seconds: 'times of keys, which the system reads in whole seconds: rounded',
} as const;
export type NoteCode = keyof typeof NOTES;

/** Something that a conversion does not carry over. */
export interface Loss<Code extends string = LossCode> {
  readonly code: Code;
  readonly text: string;
  readonly count: number;
  /** At most 20 names. */
  readonly samples: readonly string[];
}

/** Samples of one kind, and characters of one. */
const SAMPLES_MAX = 20;
const SAMPLE_CHARACTERS = 120;

/** Counts what a conversion does not carry over. Its memory does not depend on their number. */
export class LossBook {
  readonly #found = new Map<LossCode | NoteCode, { count: number; samples: string[] }>();

  add(code: LossCode | NoteCode, sample: string): void {
    const found = this.#found.get(code) ?? { count: 0, samples: [] };
    this.#found.set(code, found);
    found.count++;
    if (found.samples.length < SAMPLES_MAX) found.samples.push(sample.slice(0, SAMPLE_CHARACTERS));
  }

  losses(): Loss[] {
    return listOf(LOSSES, this.#found);
  }

  notes(): Loss<NoteCode>[] {
    return listOf(NOTES, this.#found);
  }
}

function listOf<Code extends string>(
  texts: Readonly<Record<Code, string>>,
  found: ReadonlyMap<string, { readonly count: number; readonly samples: readonly string[] }>,
): Loss<Code>[] {
  return (Object.keys(texts) as Code[]).flatMap((code) => {
    const some = found.get(code);
    return some ? [{ code, text: texts[code], ...some }] : [];
  });
}
