import { z } from 'zod';
import { byStore } from '../core/store-name.ts';

/** The route of one store's data, as recorded in a plan; see `Route`. */
export const RouteRecord = z.object({
  saved: z.json().optional(),
  scope: z.json(),
  names: z.record(z.string(), z.string()),
  origin: z.record(z.string(), z.string()).optional(),
  changes: z.array(z.string()),
});
export type RouteRecord = z.infer<typeof RouteRecord>;

/** Routes by store. */
export const Routes = byStore(RouteRecord);
