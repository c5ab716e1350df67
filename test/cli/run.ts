import { type ChildProcess, spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { OperationsContext } from '../../shared/operations/context.ts';

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

/** A running `ngbak`. */
export class Session {
  readonly #child: ChildProcess;
  #stdout = '';
  #stderr = '';
  readonly #ended: Promise<number | null>;

  constructor(args: readonly string[], environment: NodeJS.ProcessEnv, options: { terminal: boolean }) {
    const node = [process.execPath, '--disable-warning=ExperimentalWarning', MAIN, ...args];
    const [program = '', ...rest] = options.terminal ? ['python3', '-c', IN_TERMINAL, ...node] : node;
    // Jest makes its workers print colours; the pipe of a user does not.
    const { FORCE_COLOR: _, ...own } = process.env;
    this.#child = spawn(program, rest, {
      env: {
        ...own,
        XDG_CONFIG_HOME: '/nonexistent',
        // Belongs to the test run, and is removed with it.
        XDG_DATA_HOME: join(tmpdir(), 'ngbak-data'),
        ...environment,
      },
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
    const deadline = Date.now() + 60_000;
    for (;;) {
      const all = this.#stdout + this.#stderr;
      if (typeof text === 'string' ? all.includes(text) : text.test(all)) return;
      if (Date.now() > deadline) throw new Error(`"${text}" does not come; there is: ${all}`);
      await new Promise((done) => setTimeout(done, 50));
    }
  }

  async end(): Promise<Ran> {
    const code = await this.#ended;
    const stdout = this.#stdout;
    return {
      code,
      stdout,
      stderr: this.#stderr,
      lines: () =>
        stdout
          .split('\n')
          .filter((line) => line !== '')
          .map((line) => JSON.parse(line)),
    };
  }
}

/** Runs `ngbak` to completion, without a terminal. */
export function run(args: readonly string[], environment: NodeJS.ProcessEnv): Promise<Ran> {
  return new Session(args, environment, { terminal: false }).end();
}
