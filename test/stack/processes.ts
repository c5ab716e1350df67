import { readdir, readFile } from 'node:fs/promises';

/**
 * The processes in which the emulator of this test run executes a function: one for each running invocation, and idle
 * ones. Linux only, like the emulator's processes themselves.
 *
 * @param functionName  the deployed function's name, such as `NgbakTest-restore-graph`
 */
export async function functionProcesses(functionName: string): Promise<number[]> {
  const endpoint = process.env.AWS_ENDPOINT_URL;
  if (!endpoint) throw new Error('AWS_ENDPOINT_URL is not set: run these tests by `npm test`.');
  const marks = [`AWS_LAMBDA_FUNCTION_NAME=${functionName}`, `AWS_ENDPOINT_URL=${endpoint}`];
  const found: number[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const environment = await environmentOf(name);
    if (marks.every((mark) => environment.includes(mark))) found.push(Number(name));
  }
  return found;
}

/** Kills every process of a function as the platform would, with SIGKILL. Returns their number. */
export async function killFunction(functionName: string): Promise<number> {
  let killed = 0;
  for (const pid of await functionProcesses(functionName)) {
    try {
      process.kill(pid, 'SIGKILL');
      killed++;
    } catch (error) {
      // It ended by itself between the two lines.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
  return killed;
}

async function environmentOf(pid: string): Promise<string[]> {
  try {
    return (await readFile(`/proc/${pid}/environ`, 'latin1')).split('\0');
  } catch (error) {
    // It has ended, or belongs to another run.
    if (['ENOENT', 'ESRCH', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) return [];
    throw error;
  }
}

/** Processor time that all processes of a function have used so far, in ticks of the kernel (10 ms). */
export async function processorTime(functionName: string): Promise<number> {
  let ticks = 0;
  for (const pid of await functionProcesses(functionName)) ticks += await ticksOf(pid);
  return ticks;
}

/**
 * Interval between two polls of the processor time of functions, and the number of polls that must find it unchanged.
 */
const IDLE_POLL_MS = 100;
const IDLE_POLLS = 5;
const IDLE_DEADLINE_MS = 60_000;

/** Waits until no process of these functions is busy. */
export async function untilIdle(functionNames: readonly string[]): Promise<void> {
  const names = [...new Set(functionNames)];
  const deadline = Date.now() + IDLE_DEADLINE_MS;
  let before = '';
  for (let polls = 0; polls < IDLE_POLLS; ) {
    if (Date.now() > deadline) throw new Error(`The functions are still at work: ${names.join(', ')}.`);
    await new Promise((done) => setTimeout(done, IDLE_POLL_MS));
    const now = (await Promise.all(names.map(processorTime))).join();
    polls = now === before ? polls + 1 : 0;
    before = now;
  }
}

async function ticksOf(pid: number): Promise<number> {
  try {
    // After the name in parentheses: utime and stime are the 12th and 13th fields (proc_pid_stat(5)).
    const fields = (await readFile(`/proc/${pid}/stat`, 'latin1')).replace(/^.*\) /s, '').split(' ');
    return Number(fields[11]) + Number(fields[12]);
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return 0;
    throw error;
  }
}
