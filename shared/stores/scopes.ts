import { z } from 'zod';
import { STORE_NAMES } from '../core/store-names.ts';

/** Scopes by store, as defined by the stores' adapters: the labels, prefixes and collections that data belongs to. */
export const Scopes = z.partialRecord(z.enum(STORE_NAMES), z.json());
export type Scopes = z.infer<typeof Scopes>;
