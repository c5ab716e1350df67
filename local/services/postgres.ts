import { chown, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { installPostgres } from '../install/python.ts';
import { runProcess } from '../processes.ts';
import {
  CHECK_TIMEOUT_MS,
  installContext,
  type PostgresAddress,
  type ServiceContext,
  startServer,
} from './service.ts';

const INITDB_TIMEOUT_MS = 120_000;
/** PostgreSQL's own. */
const PORT = 5432;
/** Linux's user without rights. */
const NOBODY = 65_534;
/** Without these, initdb and the server wait for the disk, and use more memory than tests need. */
const SMALL = {
  fsync: 'off',
  full_page_writes: 'off',
  shared_buffers: '16MB',
  max_connections: '20',
  autovacuum: 'off',
} as const;

/**
 * Starts a PostgreSQL server with pgvector on this port of 127.0.0.1, with this password for its superuser `postgres`.
 * It does not use TLS.
 */
export async function startPostgres(
  context: ServiceContext,
  port: number,
  password: string,
): Promise<PostgresAddress> {
  const install = installContext('postgres', context);
  const programs = await installPostgres(install);
  const folder = join(context.folder, 'postgres');
  const data = join(folder, 'data');
  await mkdir(data, { recursive: true });
  if (isRoot()) await chown(data, NOBODY, NOBODY);
  context.progress('preparing');
  const passwords = join(folder, 'password');
  await writeFile(passwords, `${password}\n`, { mode: 0o600 });
  const create = ['-D', data, '-U', 'postgres', '--auth=scram-sha-256', `--pwfile=${passwords}`];
  const plain = ['--encoding=UTF8', '--locale=C', '--no-sync', '--no-instructions'];
  const [initdb, args] = withoutRoot(join(programs, 'initdb'), [...create, ...plain]);
  await runProcess(initdb, args, {
    cwd: folder,
    env: install.environment,
    log: install.log,
    signal: context.signal,
    timeoutMs: INITDB_TIMEOUT_MS,
    remedy: 'Read the message of initdb above.',
  });
  await rm(passwords);
  const settings = {
    port: String(port),
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    ...SMALL,
  };
  const [command, options] = withoutRoot(join(programs, 'postgres'), [
    '-D',
    data,
    ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ]);
  const address = {
    url: `postgresql://127.0.0.1:${port}/postgres`,
    username: 'postgres',
    password,
    tls: false,
  };
  await startServer('postgres', context, {
    command,
    args: options,
    check: () => checkPostgres(address),
  });
  return address;
}

/** Throws unless the server answers a query with these credentials. */
export async function checkPostgres(address: PostgresAddress): Promise<void> {
  const client = new pg.Client({
    ...clientOptions(address),
    connectionTimeoutMillis: CHECK_TIMEOUT_MS,
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query('SELECT 1');
  } finally {
    await client.end();
  }
}

/** The options of a client for this address. A connection string would override user and password. */
export function clientOptions({ url, username, password, tls }: PostgresAddress): pg.ClientConfig {
  const { hostname, port, pathname } = new URL(url);
  return {
    host: hostname,
    port: Number(port || PORT),
    database: pathname.slice(1) || username,
    user: username,
    password,
    ssl: tls,
  };
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/**
 * PostgreSQL refuses to run as root. The user without rights keeps root's access to files, because temporary folders of
 * root are closed to all others.
 */
function withoutRoot(command: string, args: readonly string[]): [string, string[]] {
  if (!isRoot()) return [command, [...args]];
  const access = '+dac_override';
  const user = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'];
  const rights = [
    `--inh-caps=${access}`,
    `--ambient-caps=${access}`,
    // Otherwise access(2) ignores the right for a user other than root.
    '--securebits=+no_setuid_fixup',
  ];
  // Changing the user resets the signal that the process gets when its parent dies. After SIGQUIT, the server removes its
  // shared memory, which would outlive it after SIGKILL.
  return ['setpriv', [...user, ...rights, '--pdeathsig', 'QUIT', '--', command, ...args]];
}
