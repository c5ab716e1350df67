import { z } from 'zod';
import { NANO_COUNTS } from './nano-graphrag.ts';
import type { Profile } from './profile.ts';

/** Everything on the servers, or what each store's own `scope` in the configuration selects. */
export const custom: Profile<Record<string, never>> = {
  name: 'custom',
  Parameters: z.strictObject({}) as z.ZodType<Record<string, never>>,
  several: ['vectors', 'kv'],
  scopes: () => ({}),
  configurationFiles: ['settings.yaml', 'settings.yml', '.env'],
  counts: NANO_COUNTS,
  references: [],
};
