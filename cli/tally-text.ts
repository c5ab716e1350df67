import { kindOf, nounOf, tallyKind } from '../shared/stores/known-facts.ts';
import { count } from './format.ts';

/** The number of collections or namespaces with a tally: `200 collections`. */
export function groupText(kind: string, size: number): string {
  const [one, several] = tallyKind(kind)?.things?.nouns ?? ['group', 'groups'];
  return `${count(size)} ${size === 1 ? one : several}`;
}

/** `1,819 nodes, 2,784 points in 2 collections`. */
export function talliesText(tallies: Readonly<Record<string, { readonly count: number }>>): string {
  return [...Map.groupBy(Object.entries(tallies), ([tally]) => kindOf(tally)).entries()]
    .map(([kind, members]) => {
      const total = members.reduce((sum, [, tally]) => sum + tally.count, 0);
      const among = tallyKind(kind)?.things === undefined ? '' : ` in ${groupText(kind, members.length)}`;
      return `${count(total)} ${nounOf(kind, total)}${among}`;
    })
    .join(', ');
}
