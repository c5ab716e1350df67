import type { StoreFacts } from '../facts.ts';

export const filesFacts: StoreFacts = {
  kind: 'files',
  name: 'kv',
  tallies: [{ name: 'files', records: {} }],
};
