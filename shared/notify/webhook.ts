import { createHash } from 'node:crypto';
import { BlockList, isIP } from 'node:net';
import { z } from 'zod';
import { loadSecret, maskParts, redact } from '../aws/secrets.ts';
import { hostOf } from '../core/host.ts';
import { InvalidInputError, NgbakError } from '../core/errors.ts';
import { HELP } from '../core/help.ts';
import type { WebhookConfig } from '../core/notify-config.ts';
import { retry } from '../core/retry.ts';
import { FORMATS } from './formats.ts';
import type { Message } from './message.ts';
import { isSigningKey, signedHeaders } from './sign.ts';
import { withoutAddresses } from './without-addresses.ts';

/** Time for one request, including the response, in milliseconds. */
const ANSWER_MS = 10_000;
/** Attempts within one delivery; the next delivery follows after ten minutes. */
const TRIES = { attempts: 3, firstMs: 1000, factor: 3 };
/** Bytes of a response that are read, and characters that an error quotes. */
const RESPONSE_BYTES_MAX = 1024;
const QUOTE_MAX = 100;

/** A message could not be delivered. The text contains neither the address of the webhook nor its key. */
export class DeliveryError extends NgbakError {}

/**
 * The secret of a webhook. Its address authorizes anyone who has it, so its name is not one that error messages show
 * ({@link redact}).
 */
const WebhookSecret = z.object({ webhook_url: z.string().min(1), signing_key: z.string().optional() });

/** A webhook that can be called. */
export interface Webhook {
  readonly url: URL;
  readonly signingKey: string | undefined;
}

/** Loads and checks the address and the key. Throws InvalidInputError, AccessDeniedError or UnavailableError. */
export async function openWebhook(
  name: string,
  { secret, kind, allow_http }: WebhookConfig,
): Promise<Webhook> {
  const { webhook_url, signing_key } = await loadSecret(secret, WebhookSecret, `webhook ${name}`);
  const refuse = (problem: string) =>
    new InvalidInputError(`The secret of webhook ${name} (${secret}) is not valid: ${problem}.`, {
      remedy: 'Correct it with `aws secretsmanager put-secret-value` (docs/notifications.md).',
      help: HELP.webhook,
    });
  const url = URL.canParse(webhook_url) ? new URL(webhook_url) : undefined;
  if (!url) throw refuse('webhook_url is not a URL');
  // A receiver may repeat them in its response.
  maskParts([...url.pathname.split('/'), ...url.searchParams.values()].filter(isToken));
  if (!allow_http) {
    if (url.protocol !== 'https:') throw refuse('webhook_url must begin with https://');
    if (isOwnMachine(url)) throw refuse('webhook_url must not be an address of the machine itself');
  }
  if (!/^https?:$/.test(url.protocol)) throw refuse('webhook_url must begin with https://');
  if (signing_key === undefined && kind === 'generic') throw refuse('signing_key is missing');
  if (signing_key !== undefined && !isSigningKey(signing_key)) {
    throw refuse('signing_key must be "whsec_" and 24 to 64 random bytes as base64');
  }
  return { url, signingKey: signing_key };
}

/** Shorter parts of an address are words. */
const TOKEN_LENGTH_MIN = 8;

function isToken(part: string): boolean {
  // Words such as `services` or `workflows` have no digits and no capitals.
  return part.length >= TOKEN_LENGTH_MIN && /[0-9A-Z]/.test(part);
}

/** The loopback and link-local networks: services of the function's own machine, such as the metadata of AWS. */
const OWN = new BlockList();
OWN.addSubnet('127.0.0.0', 8);
OWN.addSubnet('169.254.0.0', 16);
OWN.addSubnet('0.0.0.0', 8);
OWN.addAddress('::1', 'ipv6');
OWN.addAddress('::', 'ipv6');
OWN.addSubnet('fe80::', 10, 'ipv6');

function isOwnMachine(url: URL): boolean {
  const host = hostOf(url).replace(/\.$/, '');
  if (host === 'localhost' || host.endsWith('.localhost')) return true;
  const version = isIP(host);
  return version !== 0 && OWN.check(host, version === 4 ? 'ipv4' : 'ipv6');
}

/** Posts a message to a webhook. Throws DeliveryError, or an error of {@link openWebhook}. */
export async function postWebhook(name: string, config: WebhookConfig, message: Message): Promise<void> {
  const webhook = await openWebhook(name, config);
  const body = JSON.stringify(FORMATS[config.kind](message));
  // Unique among deployments, and without characters that the signature scheme uses.
  const id = `msg_${createHash('sha256').update(`${message.deployment} ${message.id}`).digest('hex').slice(0, 32)}`;
  await retry(() => attempt(name, webhook, id, body), {
    ...TRIES,
    isTransient: (error) => error instanceof DeliveryError && error.retryable,
  });
}

async function attempt(name: string, { url, signingKey }: Webhook, id: string, body: string): Promise<void> {
  let answer: Response;
  let text: string;
  try {
    answer = await fetch(url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'user-agent': 'ngbak',
        ...(signingKey === undefined ? {} : signedHeaders(signingKey, id, new Date(), body)),
      },
      body,
      // A redirect could lead anywhere, and would take the message with it.
      redirect: 'manual',
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    text = await readStart(answer);
  } catch (error) {
    throw failure(name, `no response: ${codeOf(error)}`, true);
  }
  if (answer.ok) return;
  if (answer.status >= 300 && answer.status < 400) {
    throw failure(name, `HTTP ${answer.status}: redirects are not followed`, false);
  }
  const quoted = withoutAddresses(redact(text))
    .replaceAll(/[^\x20-\x7e]+/g, ' ')
    .trim()
    .slice(0, QUOTE_MAX);
  const passing = answer.status >= 500 || answer.status === 429 || answer.status === 408;
  throw failure(name, `HTTP ${answer.status}${quoted === '' ? '' : `: ${quoted}`}`, passing);
}

function failure(name: string, problem: string, retryable: boolean): DeliveryError {
  return new DeliveryError(`Webhook ${name}: ${problem}.`, {
    remedy: 'Check the address in its secret, and the receiver.',
    help: HELP.webhook,
    retryable,
  });
}

/** The beginning of a response. The rest is not transferred. */
async function readStart(answer: Response): Promise<string> {
  const reader = answer.body?.getReader();
  if (!reader) return '';
  const chunks: Uint8Array[] = [];
  let size = 0;
  while (size < RESPONSE_BYTES_MAX) {
    const { done, value } = await reader.read();
    if (done) break;
    chunks.push(value);
    size += value.length;
  }
  await reader.cancel();
  return Buffer.concat(chunks).subarray(0, RESPONSE_BYTES_MAX).toString('utf8');
}

/** Why a request failed, by the code alone: the messages of Node contain the address. */
function codeOf(error: unknown): string {
  for (
    let current = error;
    typeof current === 'object' && current !== null;
    current = Reflect.get(current, 'cause')
  ) {
    const code = Reflect.get(current, 'code');
    if (typeof code === 'string') return code;
    if (Reflect.get(current, 'name') === 'TimeoutError') return `none within ${ANSWER_MS / 1000} seconds`;
  }
  return 'the connection failed';
}
