import type { StoreFacts } from '../facts.ts';

export const redisFacts: StoreFacts = {
  kind: 'redis',
  name: 'kv',
  tallies: [
    {
      name: 'keys',
      things: { nouns: ['namespace', 'namespaces'], field: 'namespaces', areSummed: true },
      records: { restored: 'unexpired' },
    },
  ],
};
