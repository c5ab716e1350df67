/** The key of a tag of the form `key=value`; undefined for a plain tag. */
export function keyOfTag(tag: string): string | undefined {
  const at = tag.indexOf('=');
  return at > 0 ? tag.slice(0, at) : undefined;
}

/** Tags of the form `key=value`, by key. */
export function pairsOf(tags: readonly string[]): Record<string, string> {
  const pairs = tags.flatMap((tag) => {
    const key = keyOfTag(tag);
    return key === undefined ? [] : [[key, tag.slice(key.length + 1)] as const];
  });
  return Object.fromEntries(pairs);
}

/** A key for which there are several tags. Undefined if there is none. */
export function repeatedKey(tags: readonly string[]): string | undefined {
  const keys = new Set<string>();
  for (const tag of new Set(tags)) {
    const key = keyOfTag(tag);
    if (key === undefined) continue;
    if (keys.has(key)) return key;
    keys.add(key);
  }
  return undefined;
}

/** Tags with others added. A new value replaces the previous one of its key. */
export function addTags(tags: readonly string[], added: readonly string[]): string[] {
  const replaced = new Set(added.flatMap((tag) => keyOfTag(tag) ?? []));
  const kept = tags.filter((tag) => {
    const key = keyOfTag(tag);
    return key === undefined || !replaced.has(key);
  });
  return [...new Set([...kept, ...added])];
}

/**
 * Whether one of the tags matches a filter: `name` is a plain tag, or a key with any value; `key=value` is exactly that
 * pair, and `key=` any value of the key.
 */
export function hasTag(tags: readonly string[], filter: string): boolean {
  if (tags.includes(filter)) return true;
  const key = filter.endsWith('=') ? filter.slice(0, -1) : filter;
  return tags.some((tag) => keyOfTag(tag) === key);
}

/** Whether tags match all filters. True without a filter. */
export function hasTags(tags: readonly string[], filter: string | readonly string[] | undefined): boolean {
  return [filter ?? []].flat().every((one) => hasTag(tags, one));
}
