import { z } from 'zod';
import { byStore } from '../core/store-name.ts';

/** Scopes by store, as defined by the stores' adapters: the labels, prefixes and collections that data belongs to. */
export const Scopes = byStore(z.json());
export type Scopes = z.infer<typeof Scopes>;
