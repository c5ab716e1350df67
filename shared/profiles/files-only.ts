import { InvalidInputError } from '../core/errors.ts';
import type { Json } from '../core/json.ts';
import type { ProfileScopes } from './profile.ts';

/** The scopes of a system that keeps everything in files. Throws InvalidInputError for another backend. */
export function filesOnly(profile: string, kvKind: string, scope: Record<string, Json>): ProfileScopes {
  if (kvKind === 'files') return { kv: scope };
  throw new InvalidInputError(`Profile ${profile} keeps its data in files, not in "${kvKind}".`, {
    remedy: 'Set "kind": "files" for the store "kv" of the target.',
  });
}
