import { isNativeError } from 'node:util/types';
import { AccessDeniedError, InvalidInputError, NgbakError, UnavailableError } from '../../core/errors.ts';
import type { PostgresConnection } from './connection.ts';

/** An error returned by the server. */
export class PostgresReplyError extends NgbakError {}

/** The error that PostgreSQL or the connection reports. */
interface Failure extends Error {
  readonly code?: unknown;
}

const RETRIED = 'ngbak retries automatically. If the error persists, check the state of the server.';

/** States that pass by themselves or after an operator has intervened, by SQLSTATE or its class. */
const PASSING: readonly (readonly [pattern: RegExp, problem: string, remedy: string])[] = [
  [/^53100$/, 'has no space left on its disk', 'Make room on the disk of the server.'],
  [/^53200$/, 'is out of memory', 'Lower "maintenance_work_mem" of the server, or use a larger one.'],
  [/^53300$/, 'has no connection left', 'Raise "max_connections", or close connections of other clients.'],
  [
    /^55P03$|^40P01$/,
    'could not lock a table that another client uses',
    'Pause the writers during a restore.',
  ],
  [/^(57P0[1-5]|57014|08...|40001|53...|55...)$/, "can't answer now", RETRIED],
];
const UNREACHABLE =
  /^(ECONNREFUSED|ECONNRESET|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EPIPE|ECONNABORTED)$/;
const TLS = /^(ERR_TLS_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_|CERT_|HOSTNAME_MISMATCH|ERR_SSL_)/;
/** Classes of SQLSTATE whose messages name objects, but contain no data. */
const WITHOUT_DATA = /^(0A|2B|25|42|23|3F|54|XX)/;

const CORRECT_LOGIN = {
  password:
    'Correct "username" and "password" in the secret of the store, and check pg_hba.conf of the server.',
  iam: 'Grant "rds_iam" to the user, enable IAM authentication of the database, list the user in "databaseUsers" of cdk.json, and use the endpoint and the region of the database: docs/stores/postgres.md.',
} as const;

/** Explains an error of the server or of the connection. `name` is that of the server, for messages. */
export function explain(error: unknown, name: string, { iam }: Pick<PostgresConnection, 'iam'>): unknown {
  if (!isNativeError(error) || error instanceof NgbakError) return error;
  const code = String((error as Failure).code ?? '');
  if (/^28/.test(code)) {
    return new AccessDeniedError(`${name} rejected the login (${code}).`, {
      remedy: iam ? CORRECT_LOGIN.iam : CORRECT_LOGIN.password,
      isLogin: true,
    });
  }
  if (code === '42501') {
    const isFiltered = error.message.includes('row-level security');
    return new AccessDeniedError(`${name} denies a permission: ${error.message}.`, {
      remedy: isFiltered
        ? 'Row-level security would hide rows: use the owner of the table without FORCE, or a role with BYPASSRLS.'
        : 'Grant it to the role of the store; docs/stores/postgres.md lists the rights that it needs.',
    });
  }
  if (code === '3D000') {
    return new InvalidInputError(`${name} has no such database.`, {
      remedy: 'Correct "url" in the secret of the store.',
    });
  }
  const passing = PASSING.find(([pattern]) => pattern.test(code));
  if (passing) return new UnavailableError(`${name} ${passing[1]} (${code}).`, { remedy: passing[2] });
  if (TLS.test(code)) {
    return new InvalidInputError(`The certificate of ${name} is not valid (${code}).`, {
      remedy:
        'Set "ca" in the secret of the store to the certificates of its authority, and use the host name that the certificate has.',
    });
  }
  if (/does not support SSL/.test(error.message)) {
    return new InvalidInputError(`${name} does not support TLS.`, {
      remedy: 'Enable TLS on the server, or set "tls": false in the secret of the store.',
    });
  }
  if (
    UNREACHABLE.test(code) ||
    /^(Connection terminated|timeout expired|Client has encountered)/.test(error.message)
  ) {
    return new UnavailableError(`${name} does not respond (${code === '' ? error.message : code}).`, {
      remedy: 'Check address, network and state of the server. ngbak retries automatically.',
    });
  }
  if (!/^[0-9A-Z]{5}$/.test(code)) return error;
  const text = WITHOUT_DATA.test(code) ? `: ${error.message}` : '';
  return new PostgresReplyError(`${name} refused a statement (${code})${text}.`, {
    remedy:
      'Look up the code in appendix A of the PostgreSQL manual; the log of the server has the statement.',
  });
}
