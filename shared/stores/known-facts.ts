import type { StoreRole } from '../core/store-names.ts';
import type { Subset } from '../core/subset.ts';
import { configFacts } from './config/facts.ts';
import type { StoreFacts, TallyKind } from './facts.ts';
import { filesFacts } from './files/facts.ts';
import { neo4jFacts } from './neo4j/facts.ts';
import { postgresFacts } from './postgres/facts.ts';
import { qdrantFacts } from './qdrant/facts.ts';
import { redisFacts } from './redis/facts.ts';

/** The facts about every backend that the registry lists. */
export const FACTS: readonly StoreFacts[] = [
  neo4jFacts,
  qdrantFacts,
  redisFacts,
  filesFacts,
  postgresFacts,
  configFacts,
];

const KINDS: ReadonlyMap<string, TallyKind> = new Map(
  FACTS.flatMap(({ tallies }) => tallies.map((kind) => [kind.name, kind])),
);

/** `points:chunks` → `points`; a name without a colon is returned unchanged. */
export function kindOf(tally: string): string {
  return tally.split(':', 1)[0] ?? '';
}

/** `points:chunks` → `chunks`; undefined for a name without a colon. */
export function thingOf(tally: string): string | undefined {
  const at = tally.indexOf(':');
  return at < 0 ? undefined : tally.slice(at + 1);
}

/** Looks up the facts about a tally, by its name or by its kind's name. */
export function tallyKind(tally: string): TallyKind | undefined {
  return KINDS.get(kindOf(tally));
}

/** The tallies of the stores of a role about a thing that a subset selects by `field`: `chunks` → `points:chunks`. */
export function talliesOf(
  role: StoreRole,
  field: 'collections' | 'namespaces',
  thing: string,
): readonly string[] {
  return FACTS.filter(({ name }) => name === role)
    .flatMap(({ tallies }) => tallies)
    .filter(({ things }) => things?.field === field)
    .map(({ name }) => `${name}:${thing}`);
}

/** The things among the tallies of a store that a subset selects by `field`. */
export function thingsAmong(tallies: Iterable<string>, field: keyof Subset): string[] {
  return [...tallies]
    .filter((tally) => tallyKind(tally)?.things?.field === field)
    .map((tally) => thingOf(tally) ?? '');
}

/** What a backend counts. Empty for a backend that the registry does not list. */
export function talliesOfKind(backend: string): readonly TallyKind[] {
  return FACTS.find(({ kind }) => kind === backend)?.tallies ?? [];
}

/** The noun for what a tally counts, in singular or plural. */
export function nounOf(tally: string, count: number): string {
  const kind = kindOf(tally);
  const [one, several] = tallyKind(kind)?.nouns ?? [kind.replace(/s$/, ''), kind];
  return (count === 1 ? one : several).replaceAll('_', ' ');
}
