/**
 * What proves that a store did not change between two moments: values of which at least one differs after any change of
 * its content, whatever happened to the server in between. Or the reason why the store has no such values now. Values
 * that merely make a change unlikely, such as counts, samples and modification times, are not a proof. They are not
 * secret.
 */
export type StoreProof =
  | { readonly values: Readonly<Record<string, string>>; readonly reason?: undefined }
  | { readonly values?: undefined; readonly reason: string };

/** Maximum number of differences in a description. Further ones are only counted. */
const CHANGES_SHOWN_MAX = 20;

/** Describes the differences between two measurements of a store. Empty if they are equal. */
export function describeChanges(
  before: Readonly<Record<string, string>>,
  after: Readonly<Record<string, string>>,
): string[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
  const changes = names
    .filter((name) => before[name] !== after[name])
    .map((name) => `${name}: ${before[name] ?? 'absent'} → ${after[name] ?? 'absent'}`);
  return changes.length <= CHANGES_SHOWN_MAX
    ? changes
    : [...changes.slice(0, CHANGES_SHOWN_MAX), `and ${changes.length - CHANGES_SHOWN_MAX} more`];
}
