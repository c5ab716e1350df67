import { createHmac } from 'node:crypto';

/** Prefix of a signing key, which is base64: that of Standard Webhooks (https://www.standardwebhooks.com). */
const KEY_PREFIX = 'whsec_';
/** Allowed lengths of the decoded key, in bytes, by the same specification. */
const KEY_BYTES_MIN = 24;
const KEY_BYTES_MAX = 64;

/** Whether a text is a signing key: `whsec_` and 24 to 64 bytes as base64. */
export function isSigningKey(text: string): boolean {
  if (!text.startsWith(KEY_PREFIX) || !/^[A-Za-z0-9+/]+={0,2}$/.test(text.slice(KEY_PREFIX.length)))
    return false;
  const { length } = keyBytes(text);
  return length >= KEY_BYTES_MIN && length <= KEY_BYTES_MAX;
}

/**
 * The headers of a signed webhook, by Standard Webhooks: HMAC-SHA-256 over the ID, the timestamp and the body.
 *
 * @param id  the same for every attempt, so that a receiver recognizes a repetition
 * @param at  of this attempt, so that a receiver refuses a replay
 */
export function signedHeaders(key: string, id: string, at: Date, body: string): Record<string, string> {
  const timestamp = String(Math.floor(at.getTime() / 1000));
  const signature = createHmac('sha256', keyBytes(key)).update(`${id}.${timestamp}.${body}`).digest('base64');
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${signature}` };
}

function keyBytes(key: string): Buffer {
  return Buffer.from(key.slice(KEY_PREFIX.length), 'base64');
}
