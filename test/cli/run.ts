import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { json } from 'node:stream/consumers';
import type { OperationsContext } from '../../shared/operations/context.ts';
import { until } from '../support/until.ts';
import type { CommandLine, Ended } from './host.ts';

const MAIN = resolve(import.meta.dirname, '../../cli/main.ts');

/** Runs a program in a pseudo-terminal, as the terminal's foreground process: bytes on stdin are key presses. */
const IN_TERMINAL = 'import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))';

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** The lines of stdout as JSON. */
  lines(): { type: string; data: Record<string, unknown> }[];
}

/** The environment of the CLI for a context. */
export function environmentOf({ bucket, stateMachines }: OperationsContext): NodeJS.ProcessEnv {
  return {
    NGBAK_BUCKET: bucket.name,
    NGBAK_BACKUP_STATE_MACHINE_ARN: stateMachines.backup,
    NGBAK_RESTORE_STATE_MACHINE_ARN: stateMachines.restore,
    TZ: 'UTC',
  };
}

/** The whole environment of an `ngbak`, without that of the user who runs the tests. */
function environmentFrom(given: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  // Jest makes its workers print colours; the pipe of a user does not.
  const { FORCE_COLOR: _, ...own } = process.env;
  return {
    ...own,
    XDG_CONFIG_HOME: '/nonexistent',
    // Belongs to the test run, and is removed with it.
    XDG_DATA_HOME: join(tmpdir(), 'ngbak-data'),
    ...given,
  };
}

/** A running `ngbak`. */
export class Session {
  readonly #child: ChildProcess;
  #stdout = '';
  #stderr = '';
  readonly #ended: Promise<number | null>;

  constructor(args: readonly string[], environment: NodeJS.ProcessEnv, options: { terminal: boolean }) {
    const node = [process.execPath, '--disable-warning=ExperimentalWarning', MAIN, ...args];
    const [program = '', ...rest] = options.terminal ? ['python3', '-c', IN_TERMINAL, ...node] : node;
    this.#child = spawn(program, rest, {
      env: environmentFrom(environment),
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.#child.stdout?.on('data', (data) => {
      this.#stdout += data;
    });
    this.#child.stderr?.on('data', (data) => {
      this.#stderr += data;
    });
    this.#ended = new Promise((done, fail) => {
      this.#child.on('error', fail);
      this.#child.on('close', (code) => done(code));
    });
    if (!options.terminal) this.#child.stdin?.end();
  }

  /** Types into the terminal. */
  type(text: string): void {
    this.#child.stdin?.write(text);
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Waits until the output contains this text. */
  async shows(text: string | RegExp): Promise<void> {
    await until(`the output contains "${text}"`, () => this.#stdout + this.#stderr, {
      holds: (all) => (typeof text === 'string' ? all.includes(text) : text.test(all)),
    });
  }

  async end(): Promise<Ran> {
    return ran({ code: await this.#ended, stdout: this.#stdout, stderr: this.#stderr });
  }
}

function ran(ended: Pick<Ran, 'code' | 'stdout' | 'stderr'>): Ran {
  return {
    ...ended,
    lines: () =>
      ended.stdout
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line)),
  };
}

/** Commands that a process of its own runs: they start programs that write to its streams. */
const OWN_PROCESS = new Set(['deploy', 'destroy', 'local']);
/** Variables that a process reads when it starts. */
const AT_START = new Set(['FORCE_COLOR', 'HOME', 'NODE_OPTIONS', 'NO_COLOR', 'TMPDIR']);

/**
 * Runs `ngbak` to completion, without a terminal: in the process that the test run has for this, unless the command or
 * its environment needs a process of its own. What a process is to its user, such as its signals, pipes and terminal,
 * is tested with a {@link Session}.
 */
export async function run(args: readonly string[], environment: NodeJS.ProcessEnv): Promise<Ran> {
  const socketPath = process.env.NGBAK_TEST_CLI;
  const alone = OWN_PROCESS.has(args[0] ?? '') || Object.keys(environment).some((name) => AT_START.has(name));
  if (socketPath === undefined || alone) return new Session(args, environment, { terminal: false }).end();
  if ((environment.TZ ?? 'UTC') !== 'UTC') throw new Error('Command lines run in UTC.');
  const asked = request({ socketPath, method: 'POST', agent: false });
  const line: CommandLine = { args, environment: environmentFrom(environment) };
  asked.end(JSON.stringify(line));
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  return ran((await json(response)) as Ended);
}
