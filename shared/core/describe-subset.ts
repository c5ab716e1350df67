/** The names in a subset: the type of `Subset` without its schema, so that the dashboard does not need zod. */
interface PartNames {
  readonly label?: string | undefined;
  readonly collections?: readonly string[] | undefined;
  readonly namespaces?: readonly string[] | undefined;
  readonly key_prefixes?: readonly string[] | undefined;
}

/** A subset in words: `label Person; namespaces full_docs, text_chunks`. */
export function describeSubset({ label, collections, namespaces, key_prefixes }: PartNames): string {
  return [
    ...(label === undefined ? [] : [`label ${label}`]),
    ...(collections === undefined ? [] : [`collections ${collections.join(', ')}`]),
    ...(namespaces === undefined ? [] : [`namespaces ${namespaces.join(', ')}`]),
    ...(key_prefixes === undefined ? [] : [`keys that start with ${key_prefixes.join(', ')}`]),
  ].join('; ');
}
