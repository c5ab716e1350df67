import type { Part } from './part.ts';

/** A part in words: `label Person; namespaces full_docs, text_chunks`. */
export function describePart({ label, collections, namespaces, key_prefixes }: Part): string {
  return [
    ...(label === undefined ? [] : [`label ${label}`]),
    ...(collections === undefined ? [] : [`collections ${collections.join(', ')}`]),
    ...(namespaces === undefined ? [] : [`namespaces ${namespaces.join(', ')}`]),
    ...(key_prefixes === undefined ? [] : [`keys that start with ${key_prefixes.join(', ')}`]),
  ].join('; ');
}
