import { z } from 'zod';
import { STORE_NAMES } from '../core/store-names.ts';

/** Scopes by store, in the terms of the stores' adapters: which labels, prefixes and collections data belongs to. */
export const Scopes = z.partialRecord(z.enum(STORE_NAMES), z.json());
export type Scopes = z.infer<typeof Scopes>;
