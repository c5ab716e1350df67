import { mkdir, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import neo4j from 'neo4j-driver';
import { installNeo4j } from '../install/neo4j.ts';
import { runProcess } from '../processes.ts';
import {
  CHECK_TIMEOUT_MS,
  installContext,
  type Neo4jAddress,
  type ServiceContext,
  startServer,
} from './service.ts';

const ADMIN_TIMEOUT_MS = 120_000;
const OPENS = ['java.nio', 'java.io', 'sun.nio.ch', 'java.util.concurrent'].map(
  (name) => `--add-opens=java.base/${name}=ALL-UNNAMED`,
);

/**
 * A short-lived server gains nothing from the second compiler: half the CPU time at the start. Its performance data
 * would be unused files in the temporary directory.
 */
const SHORT_LIVED = ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-XX:-UsePerfData'];

/** Deliberately small: the heap and page cache hold a few hundred thousand nodes. */
export function configuration(port: number): string {
  return `server.default_listen_address=127.0.0.1
server.bolt.listen_address=127.0.0.1:${port}
server.bolt.advertised_address=127.0.0.1:${port}
server.http.enabled=false
server.https.enabled=false
server.memory.heap.initial_size=512m
server.memory.heap.max_size=512m
server.memory.pagecache.size=128m
db.tx_log.rotation.retention_policy=1 files
dbms.usage_report.enabled=false
`;
}

/**
 * Starts a Neo4j Community server with this password, on this port of 127.0.0.1.
 *
 * @param settings  additional lines of neo4j.conf
 * @param plugins  folder of jars with procedures and other extensions of the server
 */
export async function startNeo4j(
  context: ServiceContext,
  port: number,
  password: string,
  { settings = [], plugins }: { settings?: readonly string[]; plugins?: string } = {},
): Promise<Neo4jAddress> {
  const install = installContext('neo4j', context);
  const jars = await installNeo4j(install);
  const home = join(context.folder, 'neo4j');
  for (const name of ['conf', 'tmp']) await mkdir(join(home, name), { recursive: true });
  const folder = plugins === undefined ? [] : [`server.directories.plugins=${plugins}`];
  const lines = [configuration(port), ...folder, ...settings, ''];
  await writeFile(join(home, 'conf/neo4j.conf'), lines.join('\n'));

  context.progress('preparing');
  await runNeo4jAdmin(context, ['dbms', 'set-initial-password', password]);

  const address = { uri: `bolt://127.0.0.1:${port}`, username: 'neo4j', password };
  await startServer('neo4j', context, {
    command: 'java',
    args: [
      ...SHORT_LIVED,
      // NGBAK_LOCAL_JAVA_OPTIONS take precedence: `-XX:TieredStopAtLevel=4` for benchmarks that load millions of
      // records.
      ...(context.environment.NGBAK_LOCAL_JAVA_OPTIONS?.split(' ').filter(Boolean) ?? []),
      // Java ignores TMPDIR.
      `-Djava.io.tmpdir=${join(home, 'tmp')}`,
      ...OPENS,
      '-cp',
      [jars, ...(plugins === undefined ? [] : [plugins])].map((path) => `${path}/*`).join(delimiter),
      'org.neo4j.server.CommunityEntryPoint',
      `--home-dir=${home}`,
      `--config-dir=${home}/conf`,
    ],
    env: environmentOf(context),
    log: join(home, 'logs/neo4j.log'),
    check: () => checkNeo4j(address),
  });
  return address;
}

/** Runs `neo4j-admin` on the files of a server that {@link startNeo4j} started. Throws LocalStackError. */
export async function runNeo4jAdmin(context: ServiceContext, args: readonly string[]): Promise<void> {
  const install = installContext('neo4j', context);
  const home = join(context.folder, 'neo4j');
  const jars = await installNeo4j(install);
  const tool = [`-Dapp.home=${home}`, `-Dbasedir=${home}`, '-cp', `${jars}/*`, 'org.neo4j.cli.AdminTool'];
  await runProcess('java', [...SHORT_LIVED, ...OPENS, ...tool, ...args], {
    cwd: home,
    env: environmentOf(context),
    log: install.log,
    signal: context.signal,
    timeoutMs: ADMIN_TIMEOUT_MS,
    remedy: 'Read the message of Neo4j above.',
  });
}

function environmentOf(context: ServiceContext): NodeJS.ProcessEnv {
  const home = join(context.folder, 'neo4j');
  const { environment } = installContext('neo4j', context);
  return { ...environment, NEO4J_HOME: home, NEO4J_CONF: join(home, 'conf') };
}

/** Throws unless the server answers a query with these credentials. */
export async function checkNeo4j(address: Neo4jAddress): Promise<void> {
  const driver = neo4j.driver(address.uri, neo4j.auth.basic(address.username, address.password), {
    connectionTimeout: CHECK_TIMEOUT_MS,
    connectionAcquisitionTimeout: CHECK_TIMEOUT_MS,
    maxTransactionRetryTime: 0,
  });
  try {
    await driver.executeQuery('RETURN 1');
  } finally {
    await driver.close();
  }
}
