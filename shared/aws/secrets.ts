import {
  GetSecretValueCommand,
  SecretsManagerClient,
  SecretsManagerServiceException,
} from '@aws-sdk/client-secrets-manager';
import type { z } from 'zod';
import { AccessDeniedError, InvalidInputError, UnavailableError } from '../core/errors.ts';
import { HELP } from '../core/help.ts';
import { parseJson } from '../core/input.ts';
import type { Json } from '../core/json.ts';
import { awsClient } from './clients.ts';

/** Shorter values are no secrets worth masking: they would blot out ordinary words. */
const SECRET_LENGTH_MIN = 4;
/** Keys of connection secrets whose values are reported in messages, since an operator needs them to act. */
const PUBLIC_KEYS = new Set(
  ['uri', 'url', 'username', 'database', 'db', 'host', 'port'].concat(
    // What the access list of the HTTP API holds besides hashes: "admin" is a word that messages need.
    ['name', 'role', 'issuer', 'audience', 'jwks_uri', 'role_claim', 'expires_at'],
  ),
);

/** Every form of every credential, the longest first: one may be a part of another. */
let known: readonly string[] = [];

/** Every credential that this process has loaded, replaced by `***`: the last line of defence for logs and errors. */
export function redact(text: string): string {
  let redacted = text;
  for (const secret of known) redacted = redacted.replaceAll(secret, '***');
  return redacted.replaceAll(/([a-z][a-z0-9+.-]*:\/\/)[^\s/@]+@/gi, '$1***@');
}

/** The same for whatever a log line holds: texts and names of fields at any depth. */
export function redactValue(value: Json): Json {
  if (typeof value === 'string') return redact(value);
  if (Array.isArray(value)) return value.map(redactValue);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [redact(key), redactValue(inner)]));
}

/** The fields of a log line, redacted. */
export function redactFields(fields: Record<string, Json> = {}): Record<string, Json> {
  return Object.fromEntries(Object.entries(fields).map(([key, value]) => [redact(key), redactValue(value)]));
}

/** A credential as it is, and as it stands in JSON, in an address, in a form and in an `Authorization` header. */
function formsOf(secret: string): string[] {
  const wellFormed = secret.toWellFormed();
  const encoded = encodeURIComponent(wellFormed);
  // Strictly by RFC 3986: some clients encode these as well.
  const strict = encoded.replaceAll(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  const lower = (text: string) => text.replaceAll(/%[0-9A-F]{2}/g, (code) => code.toLowerCase());
  const json = JSON.stringify(secret).slice(1, -1);
  return [
    secret,
    json,
    // JSON within JSON, as in a logged cause.
    JSON.stringify(json).slice(1, -1),
    encoded,
    strict,
    lower(encoded),
    lower(strict),
    encodeURI(wellFormed),
    strict.replaceAll('%20', '+'),
    Buffer.from(secret).toString('base64'),
  ];
}

function remember(value: unknown, key = ''): void {
  if (typeof value === 'string') {
    if (PUBLIC_KEYS.has(key) || value.length < SECRET_LENGTH_MIN) return;
    known = [...new Set([...known, ...formsOf(value)])].sort((one, other) => other.length - one.length);
  } else if (value !== null && typeof value === 'object') {
    for (const [name, inner] of Object.entries(value)) remember(inner, name);
  }
}

/**
 * Loads a connection from Secrets Manager and checks its shape. Its credentials are masked by {@link redact} from then
 * on. Throws InvalidInputError, AccessDeniedError or UnavailableError, none of which repeats a value.
 */
export async function loadSecret<T>(
  id: string,
  schema: z.ZodType<T>,
  what: string,
  client: SecretsManagerClient = awsClient('secretsmanager', SecretsManagerClient),
): Promise<T> {
  let text: string | undefined;
  try {
    text = (await client.send(new GetSecretValueCommand({ SecretId: id }))).SecretString;
  } catch (cause) {
    if (cause instanceof UnavailableError) {
      throw new UnavailableError(`The secret of ${what} (${id}) could not be read: ${cause.message}`, {
        remedy: cause.remedy,
        cause,
      });
    }
    const name = cause instanceof SecretsManagerServiceException ? cause.name : 'no response';
    const message = `The secret of ${what} (${id}) could not be read: ${name}.`;
    if (name === 'ResourceNotFoundException') {
      throw new InvalidInputError(message, { remedy: 'Create it, or correct its ARN in cdk.json.', cause });
    }
    if (name === 'AccessDeniedException') {
      throw new AccessDeniedError(message, {
        remedy: "Check this function's role and the secret's key policy.",
        help: HELP.noPermission,
        cause,
      });
    }
    throw new UnavailableError(message, { remedy: 'ngbak retries automatically.', cause });
  }
  const value: unknown = parseJson(schema, text ?? '', `The secret of ${what} (${id})`, {
    remedy:
      'Fill it with `aws secretsmanager put-secret-value`: docs/deploy.md shows the shape for each store.',
    help: HELP.secret,
  });
  remember(value);
  return value as T;
}
