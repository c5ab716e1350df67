import { z } from 'zod';
import { InvalidInputError } from '../core/errors.ts';
import { rolesNamed, type Subset } from '../core/subset.ts';
import type { StoreAdapter } from './store.ts';

/** What every backend must define. */
type RequiredMember = 'facts' | 'Connection' | 'Scope' | 'create' | 'overlaps' | 'check';

/**
 * Completes an adapter with defaults for what most backends do not have: subsets, names that can be changed, smoke
 * checks, and references to other stores.
 */
export function defineAdapter<Connection, Scope>(
  members: Pick<StoreAdapter<Connection, Scope>, RequiredMember> & Partial<StoreAdapter<Connection, Scope>>,
): StoreAdapter<Connection, Scope> {
  const { name, kind } = members.facts;
  const refuseParts = (part: Subset, problem: string): void => {
    if (!rolesNamed(part)?.some((named) => named === name)) return;
    throw new InvalidInputError(`A store of the kind "${kind}" has ${problem}.`, {
      remedy: `Choose ${name} as a whole, without renaming.`,
    });
  };
  return {
    kind,
    name,
    Smoke: z.never(),
    questions: () => [],
    renameQuestion: (question) => question,
    narrow: (scope, part) => {
      refuseParts(part, 'no parts that can be chosen');
      return scope;
    },
    lacks: () => [],
    route: async (_archive, saved, scope, { only, rename }) => {
      refuseParts(only, 'no parts that can be chosen');
      const { label, collections, key_prefix: prefix } = rename;
      const renamed = { label, collections: collections && Object.keys(collections) };
      refuseParts(
        { ...renamed, key_prefixes: prefix === undefined ? undefined : [prefix] },
        'no names that can be changed',
      );
      return { saved, scope, names: {}, changes: [] };
    },
    view: (archive) => archive,
    values: () => Promise.resolve(undefined),
    ...members,
  };
}
