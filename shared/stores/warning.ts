import { z } from 'zod';

/** Names that a warning keeps as samples. */
export const WARNING_SAMPLES_MAX = 20;
/** Distinct warnings that are kept of one store; what exceeds them is counted in one more. */
export const WARNINGS_MAX = 100;
/** Characters of a sample, such as a key's name, that are kept. */
const SAMPLE_CHARACTERS = 200;
const TEXT_CHARACTERS = 1000;
/** Code of the entry that stands for warnings beyond the limit. */
const FURTHER = 'further-warnings';

/** Something a backup did not save, or an operator should look at. Holds names, never data or secrets. */
export const StoreWarning = z.object({
  /** What kind of warning this is, for programs: stays the same between versions. */
  code: z.string().regex(/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/),
  /** One sentence with what happened and what to do; the same for every record it is about, so that they can be merged. */
  text: z.string().max(TEXT_CHARACTERS),
  /** Number of records it is about. */
  count: z.int().nonnegative().optional(),
  /** Names of some of them. */
  samples: z.array(z.string().max(SAMPLE_CHARACTERS)).max(WARNING_SAMPLES_MAX).optional(),
});
export type StoreWarning = z.infer<typeof StoreWarning>;

/**
 * Collects warnings in bounded memory. Warnings with the same code and text become one: their counts are added (each
 * without a count stands for the names it gives, or for nothing countable), and the first samples are kept.
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

  /** The warnings so far, in the order in which each was first added. */
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

/** Several lists of warnings as one, merged and bounded. */
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
  // Not in the middle of a surrogate pair.
  return `${text.slice(0, characters - 1).replace(/[\ud800-\udbff]$/, '')}…`;
}
