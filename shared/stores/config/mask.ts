import type { Json } from '../../core/json.ts';

/** Replaces a secret. */
export const MASK = '***';

/**
 * Names of settings whose values are secrets. Case, separators and trailing digits are ignored, so that
 * `OPENAI_API_KEY`, `openaiApiKey` and `api-key-2` all match.
 */
const SECRET_NAME =
  /(password|passwd|passphrase|pwd|secret|token|apikey|accesskey|privatekey|signingkey|encryptionkey|credential|authorization|cookie|connectionstring|dsn|webhookurl|sasurl)s?$|^(auth|pass|pw|key|sig|signature|bearer)$/;
/** Names that look like those of secrets but are not. Their values are needed to understand a configuration. */
const NO_SECRET =
  /(max|min|num|count|total|chunk|context|overlap|limit|size|input|output|prompt|completion)(imum)?tokens?$|^(max|min)?tokens$|(token|secret|password|key)(count|limit|size|name|id|arn|rotation|ttl|expiry|path|file)s?$/;

/** Secrets that are recognizable by their form, whatever their name. */
const SECRET_PATTERNS: readonly RegExp[] = [
  // Keys of OpenAI, Anthropic and other services with the same format.
  /\bsk-[A-Za-z0-9_-]{16,}/g,
  // AWS access key IDs, long-term and temporary.
  /\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/g,
  // GitHub, GitLab, Slack, Hugging Face, Google, npm, PyPI, Stripe.
  /\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}|\bglpat-[A-Za-z0-9_-]{16,}/g,
  /\bxox[abeoprs]-[A-Za-z0-9-]{10,}/g,
  /\bhf_[A-Za-z0-9]{20,}|\bAIza[A-Za-z0-9_-]{30,}|\bnpm_[A-Za-z0-9]{30,}|\bpypi-[A-Za-z0-9_-]{30,}/g,
  /\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}/g,
  // JSON Web Tokens.
  /\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*/g,
  // PEM private keys.
  /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g,
  // Authorization headers.
  /(?<=\b(?:Bearer|Basic)\s+)[A-Za-z0-9._~+/=-]{8,}/gi,
];
/** Credentials in a server's address: `scheme://user:password@host`. */
const ADDRESS_LOGIN = /\b([a-z][a-z0-9+.-]*:\/\/)[^\s/@]+@/gi;
/** Credentials in query strings, as in presigned URLs. */
const QUERY_SECRET =
  /([?&;](?:[a-z0-9_.-]*(?:key|token|secret|password|signature|credential|sig|auth))=)[^&;#\s"']+/gi;

/** Whether a setting of this name holds a secret, such as `api_key`. */
export function isSecretName(name: string): boolean {
  const plain = name
    .toLowerCase()
    .replaceAll(/[^a-z0-9]/g, '')
    .replace(/\d+$/, '');
  return SECRET_NAME.test(plain) && !NO_SECRET.test(plain);
}

/**
 * Masks the secrets in a text that are recognizable by their form. A safety net only: credentials must not be logged in
 * any case.
 */
export function maskText(text: string): string {
  let masked = text;
  for (const pattern of SECRET_PATTERNS) masked = masked.replaceAll(pattern, MASK);
  return masked.replaceAll(ADDRESS_LOGIN, `$1${MASK}@`).replaceAll(QUERY_SECRET, `$1${MASK}`);
}

/**
 * Masks the secrets in a configuration: values whose names denote secrets are masked completely (except empty values,
 * null and booleans, which show that nothing is set), and all other texts by pattern. Lists of `{name, value}` pairs,
 * as in container definitions, are supported. The argument is not modified.
 */
export function maskSecrets(value: Json): Json {
  if (typeof value === 'string') return maskEmbedded(value);
  if (Array.isArray(value)) return value.map(maskSecrets);
  if (value === null || typeof value !== 'object') return value;
  const named = Object.entries(value).find(([key]) => /^(name|key)$/i.test(key))?.[1];
  const isPair = typeof named === 'string' && isSecretName(named);
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => {
      const isSecret = (isSecretName(name) && !/^key$/i.test(name)) || isTokenText(name, inner);
      if (isSecret || (isPair && /^value$/i.test(name))) return [maskText(name), maskAll(inner)];
      return [maskText(name), maskSecrets(inner)];
    }),
  );
}

/** Token counts are settings of a model; any other value with such a name may be a credential. */
function isTokenText(name: string, value: Json): boolean {
  return /tokens$/i.test(name) && typeof value !== 'number' && !/^\d{1,9}$/.test(String(value));
}

/** Settings often embed JSON in a string. It is masked by its names too, and stays a string. */
function maskEmbedded(text: string): string {
  if (!/^\s*[[{]/.test(text)) return maskText(text);
  let value: Json;
  try {
    value = JSON.parse(text) as Json;
  } catch (error) {
    if (error instanceof SyntaxError) return maskText(text);
    throw error;
  }
  const masked = maskSecrets(value);
  return JSON.stringify(masked) === JSON.stringify(value) ? text : JSON.stringify(masked);
}

function maskAll(value: Json): Json {
  if (value === null || typeof value === 'boolean' || value === '') return value;
  if (Array.isArray(value)) return value.map(maskAll);
  if (typeof value !== 'object') return MASK;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [maskText(name), maskAll(inner)]));
}
