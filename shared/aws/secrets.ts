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

/** Shorter values are not masked: that would hide ordinary words. */
const SECRET_LENGTH_MIN = 4;
/** Keys of connection secrets whose values appear in messages, because an operator needs them. */
const PUBLIC_KEYS = new Set(
  ['uri', 'url', 'username', 'database', 'db', 'host', 'port'].concat(
    // Fields of the access list of the HTTP API other than hashes: messages need words such as "admin".
    ['name', 'role', 'issuer', 'audience', 'jwks_uri', 'role_claim', 'expires_at'],
  ),
);

/** Every form of every credential, the longest first, because one may contain another. */
let known: readonly string[] = [];

/** Replaces every credential that this process has loaded by `***`: the last line of defence for logs and errors. */
export function redact(text: string): string {
  let redacted = text;
  for (const secret of known) redacted = redacted.replaceAll(secret, '***');
  return redacted.replaceAll(/([a-z][a-z0-9+.-]*:\/\/)[^\s/@]+@/gi, '$1***@');
}

/** The same for any value in a log line: texts and names of fields at any depth. */
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

/** A credential in plain text, and as encoded in JSON, in a URL, in a form and in an `Authorization` header. */
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

/** Masks these parts of a credential from now on, where they occur without the rest. */
export function maskParts(parts: readonly string[]): void {
  for (const part of parts) remember(part);
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
 * Loads a connection from Secrets Manager and validates it. From then on, {@link redact} masks its credentials.
 * Throws InvalidInputError, AccessDeniedError or UnavailableError, none of which contains a value.
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
