/** The numbers of a release; undefined for other text. `1.4.9.9` has four, and `v1.2rc1` is release 1.2. */
function numbersOf(version: string): number[] | undefined {
  const numbers = /^v?(\d{1,9}(?:\.\d{1,9}){0,9})/i.exec(version)?.[1];
  return numbers?.split('.').map(Number);
}

/**
 * Compares releases whose versions may have more or fewer than the three numbers of semantic versions, as those of Python
 * packages and of PostgreSQL's extensions: negative if the first is older. Undefined if one of them is not a version.
 */
export function compareReleases(left: string, right: string): number | undefined {
  const [one, other] = [numbersOf(left), numbersOf(right)];
  if (!one || !other) return undefined;
  for (let at = 0; at < Math.max(one.length, other.length); at++) {
    const difference = (one[at] ?? 0) - (other[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
