import type { StoreFacts } from '../facts.ts';

export const qdrantFacts: StoreFacts = {
  kind: 'qdrant',
  name: 'vectors',
  tallies: [
    {
      name: 'points',
      things: { nouns: ['collection', 'collections'], field: 'collections', areRenamed: true },
      records: { restored: 'all' },
    },
  ],
  opaqueEntries: '.snapshot',
};
