import { useSyncExternalStore } from 'react';

/** The current location: `#/backups/snapshot_…?entry=graph` has the parts `backups` and `snapshot_…`. */
export interface PageRoute {
  readonly parts: readonly string[];
  readonly query: URLSearchParams;
  /** All of it, as an `href`, for comparison. */
  readonly href: string;
}

/** The address of a page. Everything after the `#` stays in the browser, so that every address can be opened directly. */
export function href(parts: readonly string[], query: Record<string, string> = {}): string {
  const text = new URLSearchParams(query).toString();
  return `#/${parts.map(encodeURIComponent).join('/')}${text === '' ? '' : `?${text}`}`;
}

/** Navigates to another page; with `replace`, the current page is not kept in the history. */
export function navigate(to: string, { replace = false } = {}): void {
  if (!replace) {
    location.hash = to;
    return;
  }
  history.replaceState(null, '', to);
  dispatchEvent(new HashChangeEvent('hashchange'));
}

/** The current page; a component that calls it is rendered again after navigation. */
export function useRoute(): PageRoute {
  return parse(useSyncExternalStore(subscribe, () => location.hash));
}

function subscribe(listener: () => void): () => void {
  addEventListener('hashchange', listener);
  return () => removeEventListener('hashchange', listener);
}

function parse(hash: string): PageRoute {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?');
  return {
    parts: path
      .split('/')
      .filter((part) => part !== '')
      .map(decode),
    query: new URLSearchParams(query),
    href: hash,
  };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    // A lone "%" in the address: kept literally.
    return part;
  }
}

/** The properties of every page. */
export interface PageProps {
  readonly route: PageRoute;
}
