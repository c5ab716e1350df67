/** Anything that is counted by name: tallies of what was exported, or counts of a store. */
type Counted = Readonly<Record<string, number | { readonly count: number }>>;

/** Tallies that count records, in contrast to schema statements and settings. */
const RECORDS = /^(nodes|relationships|files|points:.*|keys:.*)$/s;

/** The counts of records by tally name, without tallies of anything else. */
export function recordCounts(counted: Counted = {}): Record<string, number> {
  return Object.fromEntries(
    Object.entries(counted)
      .filter(([name]) => RECORDS.test(name))
      .map(([name, value]) => [name, typeof value === 'number' ? value : value.count]),
  );
}

/** Counts of records by store, of stores that have any kind of them. */
export function countsByStore<Store extends string>(
  counted: Readonly<Partial<Record<Store, Counted>>>,
): Partial<Record<Store, Record<string, number>>> {
  const counts: Partial<Record<Store, Record<string, number>>> = {};
  for (const store of Object.keys(counted) as Store[]) {
    const found = recordCounts(counted[store]);
    if (Object.keys(found).length > 0) counts[store] = found;
  }
  return counts;
}

/** Number of records in all. */
export function countRecords(counted?: Counted): number {
  return Object.values(recordCounts(counted)).reduce((sum, count) => sum + count, 0);
}

/** Kinds of records that have names of their own, and what these are names of. */
const NAMED: Readonly<Record<string, [one: string, many: string]>> = {
  points: ['collection', 'collections'],
  keys: ['namespace', 'namespaces'],
};

/** Counts of one store in one line: `20 nodes, 19 relationships`, `40 keys in 3 namespaces`. */
export function recordsText(counts: Readonly<Record<string, number>>): string {
  const kinds = new Map<string, { sum: number; names: number }>();
  for (const [name, count] of Object.entries(counts)) {
    const [kind = ''] = name.split(':', 1);
    const { sum, names } = kinds.get(kind) ?? { sum: 0, names: 0 };
    kinds.set(kind, { sum: sum + count, names: names + 1 });
  }
  return [...kinds]
    .map(([kind, { sum, names }]) => {
      const named = NAMED[kind];
      const among = named === undefined ? '' : ` in ${names} ${named[names === 1 ? 0 : 1]}`;
      return `${sum.toLocaleString('en-US')} ${sum === 1 ? kind.slice(0, -1) : kind}${among}`;
    })
    .join(', ');
}
