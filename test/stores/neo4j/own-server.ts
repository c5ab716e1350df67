import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { installApoc } from '../../../local/install/neo4j.ts';
import { freePorts } from '../../../local/ports.ts';
import { startNeo4j } from '../../../local/services/neo4j.ts';
import { installContext, type ServiceContext } from '../../../local/services/service.ts';
import { SmallDisk, smallDiskMissing } from '../small-disk.ts';

/** Size for both databases, and for the data of a test. */
const DISK_MB = 160;
/** Includes the installation the first time. */
const START_TIMEOUT_MS = 300_000;
/** Logs are not preallocated with 256 MB each: otherwise a full disk is noticed late. */
const SETTINGS = ['db.tx_log.preallocate=false'];
const APOC_SETTINGS = ['dbms.security.procedures.unrestricted=apoc.*'];
const APOC_CONF =
  'apoc.import.file.enabled=true\napoc.export.file.enabled=true\napoc.trigger.enabled=true\napoc.trigger.refresh=100\n';

/** A Neo4j for one test, which can be killed. Its data is on a disk that can fill up, if the machine allows that. */
export class OwnNeo4j {
  readonly address: { readonly uri: string; readonly username: string; readonly password: string };
  readonly #folder: string;
  readonly #port: number;
  readonly #apoc: boolean;
  readonly #disk: SmallDisk | undefined;
  #process: ChildProcess | undefined;

  private constructor(folder: string, port: number, disk: SmallDisk | undefined, apoc: boolean) {
    this.#folder = folder;
    this.#port = port;
    this.#apoc = apoc;
    this.#disk = disk;
    this.address = { uri: `bolt://127.0.0.1:${port}`, username: 'neo4j', password: 'own-password-7f3a' };
  }

  /**
   * @param apoc  whether it has the procedures of APOC, which may read and write files in its folder
   * @param plain  whether its data is in its folder, so that a test can copy it, and not on a disk of its own
   */
  static async start({ apoc = false, plain = false } = {}): Promise<OwnNeo4j> {
    const folder = await mkdtemp(join(tmpdir(), 'ngbak-test-neo4j-'));
    const data = join(folder, 'neo4j/data');
    for (const path of [data, join(folder, 'bin'), join(folder, 'logs')])
      await mkdir(path, { recursive: true });
    const isSmall = !plain && smallDiskMissing() === undefined;
    const disk = isSmall ? await SmallDisk.over(data, DISK_MB) : undefined;
    if (disk !== undefined) {
      // The server is started as usual, with a `java` that sees the disk.
      const [command, args] = disk.wrap('java', []);
      const script = ['#!/bin/sh', `PATH=\${PATH#*${delimiter}}`, `exec ${command} ${args.join(' ')} "$@"`];
      await writeFile(join(folder, 'bin/java'), `${script.join('\n')}\n`, { mode: 0o755 });
    }
    const [port = 0] = await freePorts(1);
    const server = new OwnNeo4j(folder, port, disk, apoc);
    try {
      await server.up();
    } catch (error) {
      await server.stop();
      throw error;
    }
    return server;
  }

  /** The disk of its data. */
  get disk(): SmallDisk {
    if (this.#disk) return this.#disk;
    throw new Error(`This Neo4j has no disk of its own: ${smallDiskMissing()}.`);
  }

  /** The folder in which APOC reads and writes files. */
  get files(): string {
    return join(this.#folder, 'neo4j');
  }

  /** Starts the server, with additional lines of its configuration for this start. */
  async up(settings: readonly string[] = []): Promise<void> {
    const context: ServiceContext = {
      folder: this.#folder,
      environment: { ...process.env, PATH: `${join(this.#folder, 'bin')}${delimiter}${process.env.PATH}` },
      signal: AbortSignal.timeout(START_TIMEOUT_MS),
      progress: () => undefined,
      started: (child) => {
        this.#process = child;
      },
    };
    let plugins: string | undefined;
    if (this.#apoc) {
      // Maven needs the machine's own Java.
      plugins = await installApoc({ ...installContext('neo4j', context), environment: process.env });
      await mkdir(join(this.#folder, 'neo4j/conf'), { recursive: true });
      await writeFile(join(this.#folder, 'neo4j/conf/apoc.conf'), APOC_CONF);
    }
    const { password } = this.address;
    await startNeo4j(context, this.#port, password, {
      settings: [...SETTINGS, ...(this.#apoc ? APOC_SETTINGS : []), ...settings],
      ...(plugins === undefined ? {} : { plugins }),
    });
  }

  /** Kills the server like a power failure. */
  async kill(): Promise<void> {
    const child = this.#process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  async stop(): Promise<void> {
    await this.kill();
    this.#disk?.remove();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
