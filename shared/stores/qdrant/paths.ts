import { InvalidInputError } from '../../core/errors.ts';

/**
 * Whether a name can't be part of a URL: URL parsers remove dot segments, which results in another address (WHATWG URL,
 * "dot segments").
 */
export function isDotSegment(name: string): boolean {
  return name === '.' || name === '..';
}

/** Encodes a name as one path segment. Throws InvalidInputError if it would change the address. */
export function pathSegment(name: string): string {
  if (!isDotSegment(name)) return encodeURIComponent(name);
  throw new InvalidInputError(`"${name}" can't be the name of a collection, snapshot or payload index.`, {
    remedy: 'Rename it on the server, or leave it out of the scope.',
  });
}

/** Path of a collection, or of something below it. */
export function collectionPath(collection: string, below = ''): string {
  return `/collections/${pathSegment(collection)}${below}`;
}
