import type { StoreFacts } from '../facts.ts';

export const postgresFacts: StoreFacts = {
  kind: 'postgres',
  name: 'kv',
  hasDatabaseUsers: true,
  tallies: [
    { name: 'tables' },
    {
      name: 'rows',
      things: { nouns: ['table', 'tables'], field: 'namespaces', areSummed: true },
      records: { restored: 'all' },
    },
    { name: 'sequences' },
  ],
};
