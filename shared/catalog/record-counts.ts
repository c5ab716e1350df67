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

/** Number of records in all. */
export function countRecords(counted?: Counted): number {
  return Object.values(recordCounts(counted)).reduce((sum, count) => sum + count, 0);
}
