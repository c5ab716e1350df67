import { count } from './format.ts';

/** What the names after the colon of a tally stand for. */
const GROUPS: Readonly<Record<string, readonly [one: string, many: string]>> = {
  points: ['collection', 'collections'],
  keys: ['namespace', 'namespaces'],
};

/** `points:chunks` → `points`. */
export function kindOf(tally: string): string {
  const at = tally.indexOf(':');
  return at < 0 ? tally : tally.slice(0, at);
}

/** How many names of a kind: `200 collections`. */
export function groupText(kind: string, size: number): string {
  const [one, many] = GROUPS[kind] ?? ['group', 'groups'];
  return `${count(size)} ${size === 1 ? one : many}`;
}

/** `1,819 nodes, 2,784 points in 2 collections`. */
export function talliesText(tallies: Readonly<Record<string, { readonly count: number }>>): string {
  return [...Map.groupBy(Object.entries(tallies), ([tally]) => kindOf(tally)).entries()]
    .map(([kind, members]) => {
      const total = members.reduce((sum, [, tally]) => sum + tally.count, 0);
      const noun =
        kind === 'schema' ? (total === 1 ? 'schema item' : 'schema items') : kind.replaceAll('_', ' ');
      return `${count(total)} ${noun}${kind in GROUPS ? ` in ${groupText(kind, members.length)}` : ''}`;
    })
    .join(', ');
}
