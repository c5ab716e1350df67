import { z } from 'zod';

/** Maximum number of names that a warning keeps as samples. */
export const WARNING_SAMPLES_MAX = 20;
/** Maximum number of distinct warnings per store. Further ones are counted in one additional warning. */
export const WARNINGS_MAX = 100;
/** Maximum length of a sample, such as a key's name, in characters. */
const SAMPLE_CHARACTERS = 200;
const TEXT_CHARACTERS = 1000;
/** Code of the additional warning that counts those beyond the limit. */
const FURTHER = 'further-warnings';

/** Something that a backup did not save, or that an operator should look at. Contains names, never data or secrets. */
export const StoreWarning = z.object({
  /** The kind of warning, for programs. Stable between versions. */
  code: z.string().regex(/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/),
  /** One sentence: what happened and what to do. The same for every affected record, so that warnings can be merged. */
  text: z.string().max(TEXT_CHARACTERS),
  /** Number of affected records. */
  count: z.int().nonnegative().optional(),
  /** Names of some of them. */
  samples: z.array(z.string().max(SAMPLE_CHARACTERS)).max(WARNING_SAMPLES_MAX).optional(),
});
export type StoreWarning = z.infer<typeof StoreWarning>;

/**
 * Collects warnings in bounded memory. Warnings with the same code and text are merged: their counts are added (a
 * missing count adds nothing), and the first samples are kept.
 */
export class WarningCollector {
  readonly #warnings = new Map<string, StoreWarning>();
  #further = 0;

  add(warning: StoreWarning): void {
    const { code } = warning;
    if (code === FURTHER) {
      this.#further += warning.count ?? 0;
      return;
    }
    const text = cut(warning.text, TEXT_CHARACTERS);
    const key = `${code} ${text}`;
    const known = this.#warnings.get(key);
    if (!known && this.#warnings.size >= WARNINGS_MAX) {
      this.#further++;
      return;
    }
    const count = sum(known?.count, warning.count);
    const samples = new Set(known?.samples);
    for (const sample of warning.samples ?? []) {
      if (samples.size >= WARNING_SAMPLES_MAX) break;
      samples.add(cut(sample, SAMPLE_CHARACTERS));
    }
    this.#warnings.set(key, {
      code,
      text,
      ...(count === undefined ? {} : { count }),
      ...(samples.size === 0 ? {} : { samples: [...samples] }),
    });
  }

  /** Returns the warnings, in the order in which each was first added. */
  all(): StoreWarning[] {
    const further: StoreWarning[] =
      this.#further === 0
        ? []
        : [
            {
              code: FURTHER,
              text: 'There are further warnings that are not listed; the log of the job contains all of them.',
              count: this.#further,
            },
          ];
    return [...this.#warnings.values(), ...further];
  }
}

/** Merges several lists of warnings into one bounded list. */
export function mergeWarnings(lists: Iterable<readonly StoreWarning[]>): StoreWarning[] {
  const collector = new WarningCollector();
  for (const list of lists) for (const warning of list) collector.add(warning);
  return collector.all();
}

function sum(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined && other === undefined ? undefined : (one ?? 0) + (other ?? 0);
}

function cut(text: string, characters: number): string {
  if (text.length <= characters) return text;
  // Do not cut a surrogate pair in half.
  return `${text.slice(0, characters - 1).replace(/[\ud800-\udbff]$/, '')}…`;
}
