import type { StoreFacts } from '../facts.ts';

export const configFacts: StoreFacts = { kind: 'config', name: 'config', tallies: [{ name: 'settings' }] };
