import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { freePorts } from '../../local/ports.ts';
import { startNeo4j } from '../../local/services/neo4j.ts';
import { SmallDisk } from './qdrant/small-disk.ts';

/** Room for both databases, and for what a test writes into them. */
const DISK_MB = 160;
/** Logs take their room when they are written, and not 256 MB each beforehand: else a full disk is noticed late. */
const SETTINGS = ['-c', 'db.tx_log.preallocate=false'];

/** A Neo4j of a test's own, whose data lie on a disk that can be full. */
export class OwnNeo4j {
  readonly disk: SmallDisk;
  readonly address: { readonly uri: string; readonly username: string; readonly password: string };
  readonly #folder: string;
  readonly #port: number;
  #process: ChildProcess | undefined;

  private constructor(folder: string, port: number, disk: SmallDisk) {
    this.#folder = folder;
    this.#port = port;
    this.disk = disk;
    this.address = { uri: `bolt://127.0.0.1:${port}`, username: 'neo4j', password: 'own-password-7f3a' };
  }

  static async start(): Promise<OwnNeo4j> {
    const folder = await mkdtemp(join(tmpdir(), 'ngbak-test-neo4j-'));
    const data = join(folder, 'neo4j/data');
    for (const path of [data, join(folder, 'bin'), join(folder, 'logs')])
      await mkdir(path, { recursive: true });
    const disk = await SmallDisk.over(data, DISK_MB);
    // The server is started as it always is, by a `java` that sees the disk.
    const [command, args] = disk.wrap('java', []);
    const script = [
      '#!/bin/sh',
      `PATH=\${PATH#*${delimiter}}`,
      `case "$*" in *CommunityEntryPoint*) set -- "$@" ${SETTINGS.join(' ')} ;; esac`,
      `exec ${command} ${args.join(' ')} "$@"`,
    ];
    await writeFile(join(folder, 'bin/java'), `${script.join('\n')}\n`, { mode: 0o755 });
    const [port = 0] = await freePorts(1);
    const server = new OwnNeo4j(folder, port, disk);
    await server.up();
    return server;
  }

  async up(): Promise<void> {
    await startNeo4j(
      {
        folder: this.#folder,
        environment: { ...process.env, PATH: `${join(this.#folder, 'bin')}${delimiter}${process.env.PATH}` },
        signal: AbortSignal.timeout(120_000),
        progress: () => undefined,
        started: (child) => {
          this.#process = child;
        },
      },
      this.#port,
      this.address.password,
    );
  }

  /** Kills the server as a power cut would. */
  async kill(): Promise<void> {
    const child = this.#process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }

  async stop(): Promise<void> {
    await this.kill();
    this.disk.remove();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
