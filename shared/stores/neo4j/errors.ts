import { error as driverErrors, Neo4jError } from 'neo4j-driver-core';
import {
  AccessDeniedError,
  IntegrityError,
  InvalidInputError,
  NgbakError,
  UnavailableError,
} from '../../core/errors.ts';

/** Codes of the driver, not of the server, for connections that failed or were lost. */
const CONNECTION_CODES = new Set([driverErrors.SERVICE_UNAVAILABLE, driverErrors.SESSION_EXPIRED]);

/** Codes of the driver that do not indicate the cause, for example if a connection is lost while it is reset. */
const VAGUE_CODES = new Set<string>(['N/A', driverErrors.PROTOCOL_ERROR]);
/**
 * The driver's messages under those codes if a connection was lost, or if a connection or transaction ended before the
 * driver knew why: another batch, possibly the previous one, reports the cause.
 */
const LOST =
  /Failed to connect to server|Connection was closed by server|Connection acquisition timed out|No connection available|rolled back either because of an error|Ignored either because of an error/;

/**
 * Neo4j 5.26 blames the client for a transaction that exceeds db.transaction.timeout, although ngbak sets no timeout;
 * other versions name their configuration.
 */
const TIMED_OUT = new Set([
  'Neo.ClientError.Transaction.TransactionTimedOut',
  'Neo.ClientError.Transaction.TransactionTimedOutClientConfiguration',
]);
const TIMED_OUT_REMEDY =
  'Raise db.transaction.timeout of the server (it can be changed while the server runs), or give the server less load.';

/** Status codes of the server (Neo4j "Status codes for errors and notifications") for temporary limits. */
const OVERLOAD_CODES = new Set([
  ...TIMED_OUT,
  'Neo.ClientError.Cluster.NotALeader',
  'Neo.ClientError.General.ForbiddenOnReadOnlyDatabase',
  'Neo.DatabaseError.General.IndexCorruptionDetected',
  'Neo.DatabaseError.Database.DatabaseLimitReached',
]);

/** The server's messages for data that violates a constraint. */
const VIOLATED = /\bBoth (Node|Relationship)\(|\b(must|does not) have\b|\bis required\b/;

/**
 * Converts an error of the driver into one that a workflow and an operator can act on. Messages name the target and the
 * server's status code; the server's own text is omitted if it repeats data.
 *
 * @param target name of the target in configuration
 * @param doing  the operation, as in "Neo4j of target x: <doing> failed"
 */
export function toNgbakError(error: unknown, target: string, doing: string): unknown {
  if (error instanceof NgbakError || !isNeo4jError(error)) return error;
  const { code } = error;
  const where = `Neo4j of target "${target}": ${doing} failed`;
  if (CONNECTION_CODES.has(code) || (VAGUE_CODES.has(code) && LOST.test(error.message))) {
    if (/certificate|TLS|SSL|wrong version number|self.signed/i.test(error.message)) {
      return new InvalidInputError(`${where}: the encrypted connection is not trusted.`, {
        remedy: 'Check the scheme of "uri" (neo4j+s, bolt+s, …) and "ca" in the connection secret.',
        cause: error,
      });
    }
    return new UnavailableError(`${where}: the server cannot be reached, or the connection was lost.`, {
      remedy:
        'Check that it runs and that its Bolt address can be reached from here. ngbak retries automatically.',
      cause: error,
    });
  }
  if (code === 'Neo.ClientError.Security.AuthenticationRateLimit') {
    return new AccessDeniedError(
      `${where}: too many failed logins: the server rejects further ones for a while.`,
      {
        remedy:
          'Correct "username" and "password" in the connection secret, wait some seconds and start again.',
        isLogin: true,
      },
    );
  }
  if (/^Neo\.ClientError\.Security\.(Unauthorized|CredentialsExpired|TokenExpired|AuthProvider)/.test(code)) {
    return new AccessDeniedError(`${where}: the server rejects the username or password (${code}).`, {
      remedy: 'Correct "username" and "password" in the connection secret of this store.',
      isLogin: true,
    });
  }
  if (code.startsWith('Neo.ClientError.Security.')) {
    return new AccessDeniedError(`${where}: a permission is missing (${code}).`, {
      remedy: 'Grant the user MATCH and SHOW for backups, and WRITE, INDEX and CONSTRAINT for restores.',
      cause: error,
    });
  }
  if (code === 'Neo.ClientError.General.WriteOnReadOnlyAccessDatabase') {
    return new AccessDeniedError(`${where}: the database is read-only (${code}).`, {
      remedy:
        'Check server.databases.default_to_read_only and server.databases.read_only of the server, or use another database in the connection secret.',
      cause: error,
    });
  }
  if (code === 'Neo.ClientError.Database.DatabaseNotFound') {
    return new InvalidInputError(`${where}: the server has no such database.`, {
      remedy: 'Correct "database" in the connection secret, or create the database.',
      cause: error,
    });
  }
  // With this internal error, only the message distinguishes violations from other causes such as a full disk.
  const isBroken =
    code === 'Neo.DatabaseError.Schema.ConstraintCreationFailed' && VIOLATED.test(error.message);
  if (
    isBroken ||
    /^Neo\.ClientError\.Schema\.(ConstraintV|ConstraintCreationFailed|ConstraintVerif)/.test(code)
  ) {
    // The server's message repeats property values, so it is not passed on as cause.
    return new IntegrityError(`${where}: the data violates a constraint (${code}).`, {
      remedy:
        'Compare the constraints of the target with those of the archive (graph/schema.jsonl), drop those that the archive does not have, and restore again.',
    });
  }
  if (code.startsWith('Neo.TransientError.') || OVERLOAD_CODES.has(code) || error.retryable) {
    return new UnavailableError(`${where}: the server cannot do this at the moment (${code}).`, {
      remedy: TIMED_OUT.has(code)
        ? `ngbak retries automatically. If the error persists: ${TIMED_OUT_REMEDY}`
        : 'ngbak retries automatically. If the error persists, give the server more memory or less load.',
      cause: error,
    });
  }
  if (/^Neo\.DatabaseError\.|^Neo\.ClientError\.Database\.DatabaseUnavailable/.test(code)) {
    return new UnavailableError(`${where}: internal error of the server (${code}).`, {
      remedy:
        'Check the log of the server. After a full disk, free space and restart the server. ngbak retries automatically.',
      cause: error,
    });
  }
  return new NgbakError(`${where} (${code}).`, {
    remedy: "Look at the cause and the server's log; report it as a bug in ngbak where neither explains it.",
    cause: error,
  });
}

/**
 * The error for a query over a whole scope that exceeded the server's transaction timeout: it would do so every time,
 * so it is not retried. Undefined for all other errors.
 */
export function tooLong(error: unknown, target: string, doing: string): NgbakError | undefined {
  if (!isNeo4jError(error) || !TIMED_OUT.has(error.code)) return undefined;
  return new NgbakError(`Neo4j of target "${target}": ${doing} took longer than the server allows.`, {
    remedy: TIMED_OUT_REMEDY,
    cause: error,
  });
}

function isNeo4jError(error: unknown): error is Neo4jError {
  return error instanceof Neo4jError;
}
