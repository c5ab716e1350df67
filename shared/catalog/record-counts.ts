import type { ByStore } from '../core/store-names.ts';
import { kindOf, nounOf, tallyKind, thingOf } from '../stores/known-facts.ts';

/** Counts by name: tallies of an export, or counts of a store. */
type Counted = Readonly<Record<string, number | { readonly count: number }>>;

/** Whether a tally counts records, as opposed to schema statements and settings. */
function isRecord(tally: string): boolean {
  const kind = tallyKind(tally);
  return kind?.records !== undefined && (thingOf(tally) !== undefined) === (kind.things !== undefined);
}

/** The counts of records by tally name. Omits tallies of anything else. */
export function recordCounts(counted: Counted = {}): Record<string, number> {
  return Object.fromEntries(
    Object.entries(counted)
      .filter(([name]) => isRecord(name))
      .map(([name, value]) => [name, typeof value === 'number' ? value : value.count]),
  );
}

/** Counts of records by store. Omits stores without any. */
export function countsByStore(counted: Readonly<ByStore<Counted>>): ByStore<Record<string, number>> {
  const counts = Object.entries(counted).map(([store, tallies]) => [store, recordCounts(tallies)] as const);
  return Object.fromEntries(counts.filter(([, found]) => Object.keys(found).length > 0));
}

/** Total number of records. */
export function countRecords(counted?: Counted): number {
  return Object.values(recordCounts(counted)).reduce((sum, count) => sum + count, 0);
}

/** Counts of one store on one line: `20 nodes, 19 relationships`, `40 keys in 3 namespaces`. */
export function recordsText(counts: Readonly<Record<string, number>>): string {
  const kinds = new Map<string, { sum: number; names: number }>();
  for (const [name, count] of Object.entries(counts)) {
    const kind = kindOf(name);
    const { sum, names } = kinds.get(kind) ?? { sum: 0, names: 0 };
    kinds.set(kind, { sum: sum + count, names: names + 1 });
  }
  return [...kinds]
    .map(([kind, { sum, names }]) => {
      const nouns = tallyKind(kind)?.things?.nouns;
      const among = nouns === undefined ? '' : ` in ${names} ${nouns[names === 1 ? 0 : 1]}`;
      return `${sum.toLocaleString('en-US')} ${nounOf(kind, sum)}${among}`;
    })
    .join(', ');
}
