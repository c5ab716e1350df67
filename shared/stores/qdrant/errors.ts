import { AccessDeniedError, InvalidInputError, NgbakError, UnavailableError } from '../../core/errors.ts';

/** The server does not have such a collection, snapshot or alias. */
export class QdrantNotFoundError extends NgbakError {}

/** The server rejected a request, or failed in a way that a retry does not resolve. */
export class QdrantRefusedError extends NgbakError {}

/** A request is larger than the server, or a proxy in front of it, accepts. */
export class QdrantTooLargeError extends QdrantRefusedError {}

/** A response is too large to be held in memory. */
export class AnswerTooLargeError extends NgbakError {}

/**
 * The server's messages about a file whose checksum is correct, but which is not a snapshot that it can load (Qdrant
 * 1.16).
 */
const UNREADABLE_SNAPSHOT = /failed to (read snapshot archive|unpack)|-recovery-[^/`]*\/config\.json/i;

/** The server's messages about requests that exceed a limit of the collection's strict mode (Qdrant 1.13 to 1.16). */
const STRICT_MODE = /strict mode|\. help: |larger than rate limiter capacity/i;

/** Maximum number of characters of the server's own message that an error repeats. */
const SERVER_MESSAGE_MAX = 300;

const CERTIFICATE_CODES = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'CERT_HAS_EXPIRED',
  'ERR_TLS_CERT_ALTNAME_INVALID',
]);

/** Describes a failed call, for error messages. */
export interface QdrantCall {
  /** Method and path, such as `GET /collections/entities`. */
  readonly what: string;
  /** Address of the server. */
  readonly server: string;
  /** Name of the target in the configuration. */
  readonly target: string;
}

/** Creates the error for an unsuccessful response. `serverMessage` is the server's text, without secrets. */
export function answerError(call: QdrantCall, status: number, serverMessage: string): NgbakError {
  const shown =
    serverMessage.length > SERVER_MESSAGE_MAX
      ? `${serverMessage.slice(0, SERVER_MESSAGE_MAX)}…`
      : serverMessage;
  const message = `Qdrant of target "${call.target}" at ${call.server} answered ${status} to ${call.what}: ${shown.replace(/\.$/, '')}.`;
  if (status === 401 || status === 403) {
    return new AccessDeniedError(message, {
      remedy: `Put a key with permission to read, write and manage the collections into "api_key" of the secret of target "${call.target}".`,
      // Decided by the status alone: older versions answer 403 to a wrong key, and the permissions of a key are in the
      // key itself.
      isLogin: true,
    });
  }
  if (status === 404) {
    return new QdrantNotFoundError(message, {
      remedy: 'Check the address and the names of the collections in the configuration.',
    });
  }
  if (/no space left|disk (is )?full|not enough (free )?(disk )?space/i.test(serverMessage)) {
    return new QdrantRefusedError(message, {
      remedy: 'Free space on the disk of the Qdrant server, then start again.',
    });
  }
  if (UNREADABLE_SNAPSHOT.test(serverMessage)) {
    return new QdrantRefusedError(message, {
      remedy:
        'This server cannot load the snapshot, or its disk is full. Check the log of the server. Then restore a different backup, or one that was created with "method": "points".',
    });
  }
  if (STRICT_MODE.test(serverMessage)) {
    return new QdrantRefusedError(message, {
      remedy: "Widen the limit that is named in the collection's strict mode, then start again.",
    });
  }
  if (status === 413) {
    return new QdrantTooLargeError(message, {
      remedy:
        'A proxy in front of Qdrant limits the bytes of a request (client_max_body_size in nginx): raise its limit, or let ngbak reach Qdrant directly.',
    });
  }
  if (status >= 500 || status === 429 || status === 408) {
    return new UnavailableError(message, {
      remedy: 'Check the log of the Qdrant server; start again when it is healthy.',
    });
  }
  return new QdrantRefusedError(message, { remedy: 'Check the log of the Qdrant server.' });
}

/** Whether a status means that the server is busy, but the request itself was valid. */
export function isBusy(status: number): boolean {
  return status === 429 || status === 502 || status === 503 || status === 504;
}

/** Creates the error for a call that got no response. */
export function connectionError(call: QdrantCall, cause: unknown): NgbakError {
  const code = codeOf(cause);
  const message = `Qdrant of target "${call.target}" at ${call.server} did not respond to ${call.what} (${code})`;
  if (CERTIFICATE_CODES.has(code)) {
    return new InvalidInputError(`${message}: its certificate is not trusted.`, {
      remedy: `Put the PEM of its certificate authority into "ca" of the secret of target "${call.target}".`,
      cause,
    });
  }
  return new UnavailableError(`${message}.`, {
    remedy:
      'Check that the server runs, and that it can be reached: address, port, security groups, subnets.',
    cause,
  });
}

/** Whether the server's certificate is not trusted, so that retries do not help. */
export function isCertificateError(error: unknown): boolean {
  return CERTIFICATE_CODES.has(codeOf(error));
}

/** Whether the connection failed in a way that the same call may survive: interrupted, stale, refused, timed out. */
export function isConnectionError(error: unknown): boolean {
  return /^(UND_ERR_(SOCKET|CONNECT_TIMEOUT|HEADERS_TIMEOUT|BODY_TIMEOUT)|ECONN|EPIPE|ETIMEDOUT|EHOST|ENET|EAI_AGAIN|ENOTFOUND|HPE_)/.test(
    codeOf(error),
  );
}

/**
 * The first code in an error's chain of causes. Does not use `instanceof`, which fails for errors from another realm.
 */
function codeOf(error: unknown): string {
  let current = error as { code?: unknown; errors?: unknown[]; cause?: unknown; name?: unknown } | undefined;
  for (let depth = 0; typeof current === 'object' && current !== null && depth < 4; depth++) {
    if (typeof current.code === 'string') return current.code;
    current = (current.errors?.[0] ?? current.cause) as typeof current;
  }
  const name = (error as { name?: unknown } | undefined)?.name;
  return typeof name === 'string' ? name : 'unknown';
}
