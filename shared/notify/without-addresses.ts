import { isIP } from 'node:net';

const ADDRESS = '(address omitted)';

/** URLs of any scheme, without the punctuation of the sentence around them. */
const URLS = /\b[a-z][a-z0-9+.-]{0,30}:\/\/[^\s"'`<>]*[^\s"'`<>.,;:!?)]/gi;
/** What separates a name from the text around it. */
const TOKENS = /[^\s"'`<>(){},;=@/#|]+/g;
/** Endings of names of files, which texts may contain. Other names with dots are taken for host names. */
const FILE =
  /\.(?:json|jsonl|ndjson|md|ngbak|graphml|ya?ml|toml|ini|env|py|ts|js|txt|csv|pem|crt|key|rdb|gz|zst|tar|parquet)$/i;
/** Names of errors and of settings have dots as well: `Neo.ClientError.General`, `ngbak.targets.default`. */
const WORD = /^[A-Z]|^ngbak\./;
const HOST = /^[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z][a-z0-9-]*[a-z]$/i;
const HOST_WITH_PORT = /^(?=[^:]*[a-z])[a-z0-9.-]+:\d{2,5}$/i;
/** Longer names are not addresses: the limit of DNS, and a port. */
const ADDRESS_MAX = 260;
/** Codes after which Node names the host. */
const NAMES_HOST = /^(?:ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH)$/;

/**
 * A text without the addresses of servers: messages leave the account, and readers find the address with the command
 * that the message names. Keeps names of files, IDs and commands.
 */
export function withoutAddresses(text: string): string {
  let before = '';
  return text.replaceAll(URLS, ADDRESS).replaceAll(TOKENS, (token) => {
    let length = token.length;
    while ('.:!?'.includes(token.charAt(length - 1)) && length > 0) length--;
    const [name, end] = [token.slice(0, length), token.slice(length)];
    const isAddress = NAMES_HOST.test(before) ? name !== '' : looksLikeAddress(name);
    before = name;
    return isAddress ? ADDRESS + end : token;
  });
}

function looksLikeAddress(name: string): boolean {
  if (name.length > ADDRESS_MAX) return false;
  // A port, and the brackets or the zone of IPv6.
  const host = /^\[(.+)\](?::\d+)?$/.exec(name)?.[1] ?? name.replace(/^(\d+(?:\.\d+){3}):\d+$/, '$1');
  if (isIP(host.replace(/%.*$/, '')) !== 0) return true;
  if (HOST_WITH_PORT.test(name)) return true;
  return HOST.test(name) && !FILE.test(name) && !WORD.test(name);
}
