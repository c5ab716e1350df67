import type { StoreFacts } from '../facts.ts';

/** Relationships whose ends are not in the archive: a restore leaves them out. */
export const RELATIONSHIPS_WITHOUT_ENDS = 'relationships-without-ends';

/** Records that violate a uniqueness constraint of the same archive, so that the constraint cannot be created. */
export const CONSTRAINT_BROKEN = 'constraint-broken';

export const neo4jFacts: StoreFacts = {
  kind: 'neo4j',
  name: 'graph',
  tallies: [
    { name: 'nodes', records: { restored: 'all' }, verifiedAs: passes('nodes') },
    { name: 'relationships', records: { restored: 'attached' }, verifiedAs: passes('relationships') },
    { name: 'schema', nouns: ['schema item', 'schema items'] },
  ],
  driftWarnings: { [RELATIONSHIPS_WITHOUT_ENDS]: 'nodes at the ends of relationships are not in it' },
  refusedFor: [CONSTRAINT_BROKEN],
};

/** Stages of the verification in verify.ts: target and archive are summed, or each record is looked up. */
function passes(kind: string) {
  return { replace: [kind, `archived ${kind}`], merge: [`compare ${kind}`] };
}
