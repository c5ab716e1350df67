import { InvalidInputError } from '../../core/errors.ts';

/** True for names that can't be part of an address: URLs drop them, and another address is left (WHATWG URL, "dot segments"). */
export function isDotSegment(name: string): boolean {
  return name === '.' || name === '..';
}

/** A name as one segment of a path. Throws InvalidInputError where it would lead elsewhere. */
export function pathSegment(name: string): string {
  if (!isDotSegment(name)) return encodeURIComponent(name);
  throw new InvalidInputError(`"${name}" can't be the name of a collection, snapshot or payload index.`, {
    remedy: 'Rename it on the server, or leave it out of the scope.',
  });
}

/** Path of a collection, or below it. */
export function collectionPath(collection: string, below = ''): string {
  return `/collections/${pathSegment(collection)}${below}`;
}
