import type { ChildProcess } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import neo4j from 'neo4j-driver';
import { LocalStackError } from '../errors.ts';
import { installed } from '../install/install.ts';
import { installNeo4j } from '../install/neo4j.ts';
import { javaVersion } from '../install/prerequisites.ts';
import { freePorts } from '../ports.ts';
import { ended, killGroup, runProcess } from '../processes.ts';
import { VERSIONS } from '../versions.ts';
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

/** Time for the start of a server that records its classes, and for its end, when it saves them. */
const ARCHIVE_TIMEOUT_MS = 300_000;
/** Statements for which a server loads the classes that most others need as well. */
const TYPICAL_STATEMENTS = [
  'CREATE CONSTRAINT key FOR (n:A) REQUIRE n.id IS UNIQUE',
  'CREATE INDEX range FOR (n:A) ON (n.n)',
  'CREATE FULLTEXT INDEX text FOR (n:A) ON EACH [n.text]',
  'CALL db.awaitIndexes(60)',
  `UNWIND range(1, 3000) AS i CREATE (n:A {id: i, text: 'text ' + i, list: [i / 2.0]}) CREATE (n)-[:R {i: i}]->(n)`,
  'UNWIND range(1, 100) AS i MATCH (n:A {id: i}) SET n += {n: i}, n:B',
  'MERGE (n:A {id: 0}) ON CREATE SET n.at = datetime()',
  'MATCH (n:A)-[r]->(m) WITH n, r, count(m) AS ends ORDER BY n.id RETURN n, r, labels(n), ends',
  'SHOW INDEXES YIELD *',
  'SHOW CONSTRAINTS YIELD *',
  'MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 1000 ROWS',
  'DROP INDEX range',
];

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

export interface Neo4jOptions {
  /** Additional lines of neo4j.conf. */
  readonly settings?: readonly string[];
  /** Folder of jars with procedures and other extensions of the server. */
  readonly plugins?: string;
}

/**
 * Starts a Neo4j Community server on this port of 127.0.0.1. Its password is the one of its first start in this folder.
 */
export async function startNeo4j(
  context: ServiceContext,
  port: number,
  password: string,
  options: Neo4jOptions = {},
): Promise<Neo4jAddress> {
  return launch(context, port, password, await classesOption(context), options);
}

/** Java's option for the saved classes; none if this machine cannot save them. */
async function classesOption(context: ServiceContext): Promise<string[]> {
  try {
    return [`-XX:SharedArchiveFile=${await installClasses(context)}`];
  } catch (error) {
    context.signal.throwIfAborted();
    if (!(error instanceof LocalStackError)) throw error;
    context.progress(`starting with half of the speed: ${error.message}`);
    return [];
  }
}

/**
 * Saves the classes of the server as this Java has loaded and verified them, once: that is half of the CPU time of a start.
 * Returns the path of the archive. Java ignores an archive that is missing or not its own. Source: JEP 350.
 */
async function installClasses(context: ServiceContext): Promise<string> {
  const install = installContext('neo4j', context);
  // The archive contains the paths of the jars.
  await installNeo4j(install);
  const java = (await javaVersion(install.environment)) ?? '';
  const build = createHash('sha256').update(java).digest('hex').slice(0, 8);
  const name = 'classes.jsa';
  const folder = await installed(`neo4j-${VERSIONS.neo4j}-classes-${build}`, install, async (half) => {
    let server: ChildProcess | undefined;
    const training = join(half, 'training');
    await mkdir(join(training, 'logs'), { recursive: true });
    try {
      const [port = 0] = await freePorts(1);
      const its: ServiceContext = {
        ...context,
        folder: training,
        progress: () => undefined,
        started: (child) => {
          server = child;
        },
      };
      const password = randomBytes(12).toString('hex');
      const address = await launch(its, port, password, [`-XX:ArchiveClassesAtExit=${join(half, name)}`], {
        deadlineMs: ARCHIVE_TIMEOUT_MS,
      });
      await runStatements(address, TYPICAL_STATEMENTS);
      if (server !== undefined) await stopAndSave(server, context.signal);
    } finally {
      killGroup(server?.pid);
      await rm(training, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
    }
  });
  return join(folder, name);
}

/** The jars in an order that does not depend on the file system: saved classes are valid for one order. */
async function jarsIn(folder: string): Promise<string[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.jar'));
  return names.sort().map((name) => join(folder, name));
}

/** Ends a server that saves its classes. Throws LocalStackError after {@link ARCHIVE_TIMEOUT_MS}. */
async function stopAndSave(server: ChildProcess, stop: AbortSignal): Promise<void> {
  const end = ended(server);
  server.kill('SIGTERM');
  const late = sleep(ARCHIVE_TIMEOUT_MS, 'late', { signal: stop, ref: false });
  if ((await Promise.race([end, late])) !== 'late') return;
  throw new LocalStackError(`Neo4j did not save its classes within ${ARCHIVE_TIMEOUT_MS / 1000} s.`, {
    remedy: 'Try again when this machine has less to do.',
  });
}

async function launch(
  context: ServiceContext,
  port: number,
  password: string,
  archive: readonly string[],
  { settings = [], plugins, deadlineMs }: Neo4jOptions & { readonly deadlineMs?: number },
): Promise<Neo4jAddress> {
  const install = installContext('neo4j', context);
  const jars = await installNeo4j(install);
  const paths = [...(await jarsIn(jars)), ...(plugins === undefined ? [] : [`${plugins}/*`])];
  const home = join(context.folder, 'neo4j');
  for (const name of ['conf', 'tmp']) await mkdir(join(home, name), { recursive: true });
  const folder = plugins === undefined ? [] : [`server.directories.plugins=${plugins}`];
  const lines = [configuration(port), ...folder, ...settings, ''];
  await writeFile(join(home, 'conf/neo4j.conf'), lines.join('\n'));

  const prepared = join(home, 'conf/prepared');
  if (!existsSync(prepared)) {
    context.progress('preparing');
    await runNeo4jAdmin(context, ['dbms', 'set-initial-password', password]);
    await writeFile(prepared, '');
  }

  const address = { uri: `bolt://127.0.0.1:${port}`, username: 'neo4j', password };
  await startServer('neo4j', context, {
    command: 'java',
    args: [
      ...SHORT_LIVED,
      ...archive,
      // NGBAK_LOCAL_JAVA_OPTIONS take precedence: `-XX:TieredStopAtLevel=4` for benchmarks that load millions of
      // records.
      ...(context.environment.NGBAK_LOCAL_JAVA_OPTIONS?.split(' ').filter(Boolean) ?? []),
      // Java ignores TMPDIR.
      `-Djava.io.tmpdir=${join(home, 'tmp')}`,
      ...OPENS,
      '-cp',
      paths.join(delimiter),
      'org.neo4j.server.CommunityEntryPoint',
      `--home-dir=${home}`,
      `--config-dir=${home}/conf`,
    ],
    env: environmentOf(context),
    log: join(home, 'logs/neo4j.log'),
    check: () => checkNeo4j(address),
    ...(deadlineMs === undefined ? {} : { deadlineMs }),
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
  await runStatements(address, ['RETURN 1']);
}

async function runStatements(address: Neo4jAddress, statements: readonly string[]): Promise<void> {
  const driver = neo4j.driver(address.uri, neo4j.auth.basic(address.username, address.password), {
    connectionTimeout: CHECK_TIMEOUT_MS,
    connectionAcquisitionTimeout: CHECK_TIMEOUT_MS,
    maxTransactionRetryTime: 0,
  });
  const session = driver.session();
  try {
    // Not executeQuery, whose transactions a statement with its own ones does not allow.
    for (const statement of statements) await session.run(statement);
  } finally {
    await session.close();
    await driver.close();
  }
}
