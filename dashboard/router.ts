import { useSyncExternalStore } from 'react';

/** Where the user is: `#/backups/snapshot_…?entry=graph` has the parts `backups` and `snapshot_…`. */
export interface PageRoute {
  readonly parts: readonly string[];
  readonly query: URLSearchParams;
  /** The whole of it, as an `href`: to tell one from another. */
  readonly href: string;
}

/** The address of a page. Everything after the `#` stays in the browser, so that every address can be opened directly. */
export function href(parts: readonly string[], query: Record<string, string> = {}): string {
  const text = new URLSearchParams(query).toString();
  return `#/${parts.map(encodeURIComponent).join('/')}${text === '' ? '' : `?${text}`}`;
}

/** Goes to another page; with `replace`, the page that is left is not in the history. */
export function navigate(to: string, { replace = false } = {}): void {
  if (!replace) {
    location.hash = to;
    return;
  }
  history.replaceState(null, '', to);
  dispatchEvent(new HashChangeEvent('hashchange'));
}

/** The current page; a component that calls it is drawn again when the user goes elsewhere. */
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
    // Somebody typed a lone "%": then it means itself.
    return part;
  }
}

/** What every page is given. */
export interface PageProps {
  readonly route: PageRoute;
}
