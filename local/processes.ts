import { type ChildProcess, spawn } from 'node:child_process';
import {
  closeSync,
  createWriteStream,
  existsSync,
  fstatSync,
  openSync,
  readFileSync,
  readSync,
} from 'node:fs';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LocalStackError } from './errors.ts';

/** Environment variable of every process of a stack and its descendants: the folder of the stack. */
export const STACK_MARK = 'NGBAK_LOCAL_STACK';

/** How much of a log is included in an error, in bytes from its end. */
const LOG_TAIL_BYTES = 3_000;

/** How long a server may take to end by itself, in milliseconds. */
const GENTLE_END_MS = 10_000;

const SETPRIV = '/usr/bin/setpriv';

/**
 * Wraps `command` so that the kernel kills it when its parent process dies for any reason. Linux only, with
 * setpriv of util-linux; on other systems the command is returned unchanged.
 */
export function boundToParent(command: string, args: readonly string[]): [string, string[]] {
  return existsSync(SETPRIV)
    ? [SETPRIV, ['--pdeathsig', 'KILL', '--', command, ...args]]
    : [command, [...args]];
}

export interface ProcessOptions {
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  /** File to which the program's output is appended. */
  readonly log: string;
}

/** Starts a program in a separate process group, with its output in a log file. */
export function startProcess(
  command: string,
  args: readonly string[],
  options: ProcessOptions,
): ChildProcess {
  const [program, programArgs] = boundToParent(command, args);
  const log = openSync(options.log, 'a', 0o600);
  try {
    return spawn(program, programArgs, {
      cwd: options.cwd,
      env: options.env,
      stdio: ['ignore', log, log],
      detached: true,
    });
  } finally {
    closeSync(log);
  }
}

/**
 * Runs a program to its end.
 *
 * Throws LocalStackError with the end of the log if it fails, or if it is not done after `timeoutMs`. On a timeout or
 * on `signal`, the program and its process group are killed.
 */
export async function runProcess(
  command: string,
  args: readonly string[],
  options: ProcessOptions & {
    readonly signal: AbortSignal;
    readonly timeoutMs: number;
    readonly remedy: string;
  },
): Promise<void> {
  options.signal.throwIfAborted();
  const child = startProcess(command, args, options);
  const deadline = AbortSignal.timeout(options.timeoutMs);
  const signal = AbortSignal.any([options.signal, deadline]);
  const stop = () => killGroup(child.pid);
  signal.addEventListener('abort', stop, { once: true });
  try {
    const outcome = await ended(child);
    options.signal.throwIfAborted();
    if (outcome === 'code 0') return;
    const why = deadline.aborted ? `took longer than ${options.timeoutMs / 1000} s` : `ended with ${outcome}`;
    throw new LocalStackError(
      `${basename(command)} ${args.slice(0, 3).join(' ')} … ${why}.${tail(options.log)}`,
      {
        remedy: options.remedy,
      },
    );
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/** Waits for a process to end, and returns how it ended: `code 1`, `signal SIGKILL`, `error …`. */
export function ended(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(`error ${error.message}`));
    child.once('exit', (code, signal) => resolve(code === null ? `signal ${signal}` : `code ${code}`));
  });
}

/** Kills a process that was started here with its whole group. Does nothing if it has already ended. */
export function killGroup(pid: number | undefined): void {
  if (pid !== undefined) killQuietly(-pid);
}

/**
 * Ends a process that was started here with its whole group: with this signal, if one is given, which it gets some time to
 * obey; otherwise it is killed.
 */
export async function endGroup(pid: number, signal?: NodeJS.Signals): Promise<void> {
  const end = Date.now() + GENTLE_END_MS;
  if (signal !== undefined && isAlive(pid)) {
    process.kill(pid, signal);
    while (isAlive(pid) && Date.now() < end) await sleep(20);
  }
  killGroup(pid);
}

/** Whether a process with this id is running. False for a zombie. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !isZombie(pid);
  } catch (error) {
    if (isGone(error)) return false;
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Linux only: false on other systems, which have no /proc. */
function isZombie(pid: number): boolean {
  try {
    // The state is the first field after the program's name, which is in parentheses and may contain any character.
    return /^ [ZX]/.test(readFileSync(`/proc/${pid}/stat`, 'latin1').split(')').at(-1) ?? '');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return existsSync('/proc/self/stat');
    throw error;
  }
}

/**
 * Kills every process with the mark of this stack in its environment, regardless of who started it and of its group,
 * and returns their number. Linux only: returns 0 on other systems, which have no /proc. Does not find Redis, which
 * overwrites its environment with its process title.
 */
export async function killMarked(folder: string): Promise<number> {
  const pids = await markedProcesses(folder);
  for (const pid of pids) killQuietly(pid);
  return pids.length;
}

/** The ids of the processes with the mark of this stack. */
export async function markedProcesses(folder: string): Promise<number[]> {
  if (!existsSync('/proc/self/environ')) return [];
  const mark = `${STACK_MARK}=${folder}`;
  const pids = await processIds();
  const marked = await Promise.all(
    pids.map(async (pid) => {
      if (pid === process.pid) return false;
      return (await readOfProcess(pid, 'environ')).split('\0').includes(mark);
    }),
  );
  return pids.filter((_, i) => marked[i]);
}

/** The ids of all processes. Linux only. */
export async function processIds(): Promise<number[]> {
  return (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
}

/** A file of /proc/<pid>; empty if the process has ended or belongs to another user. */
export async function readOfProcess(
  pid: number,
  file: 'cmdline' | 'comm' | 'environ' | 'io' | 'stat' | 'status',
): Promise<string> {
  return emptyIfUnreadable(readFile(`/proc/${pid}/${file}`, 'utf8'));
}

/** Processor time that a process has used, in ticks of the kernel (10 ms); undefined if it has ended. */
export async function ticksOf(pid: number): Promise<number | undefined> {
  const stat = await readOfProcess(pid, 'stat');
  if (stat === '') return undefined;
  // After the name in parentheses: utime and stime are the 12th and 13th fields (proc_pid_stat(5)).
  const fields = stat.replace(/^.*\) /s, '').split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

/** Resident memory of a process in bytes, now (VmRSS) or at its peak (VmHWM); undefined if it is unknown. */
export async function residentBytes(pid: number, field: 'VmRSS' | 'VmHWM'): Promise<number | undefined> {
  const [, kibibytes] =
    new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(await readOfProcess(pid, 'status')) ?? [];
  return kibibytes === undefined ? undefined : Number(kibibytes) * 1024;
}

/** Whether the process with this id has this working folder, or one in it. Linux only: false on other systems. */
export async function runsIn(pid: number, folder: string): Promise<boolean> {
  return `${await emptyIfUnreadable(readlink(`/proc/${pid}/cwd`))}/`.startsWith(`${folder}/`);
}

async function emptyIfUnreadable(reading: Promise<string>): Promise<string> {
  try {
    return await reading;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes(code)) return '';
    throw error;
  }
}

/** The end of a log, formatted to follow an error message. */
export function tail(log: string): string {
  if (!existsSync(log)) return '';
  const file = openSync(log, 'r');
  try {
    const { size } = fstatSync(file);
    const buffer = Buffer.alloc(Math.min(size, LOG_TAIL_BYTES));
    const read = readSync(file, buffer, 0, buffer.length, size - buffer.length);
    const text = buffer.toString('utf8', 0, read).trim();
    return text === '' ? ` Its log ${log} is empty.` : ` The end of ${log}:\n${text}\n`;
  } finally {
    closeSync(file);
  }
}

/** Appends a line with a timestamp to a log. */
export function logger(path: string): (line: string) => void {
  const stream = createWriteStream(path, { flags: 'a', mode: 0o600 });
  // The folder may have been removed by the cleanup that the last line reports.
  stream.on('error', (error) => console.error(`${path}: ${error.message}`));
  return (line) => stream.write(`${new Date().toISOString()} ${line}\n`);
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (!isGone(error)) throw error;
  }
}

function isGone(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ESRCH';
}
