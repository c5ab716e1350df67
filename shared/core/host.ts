/** The host of a URL as sockets take it: URLs write IPv6 addresses in brackets. */
export function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[(.*)\]$/, '$1');
}
