import { processIds, readOfProcess, ticksOf } from '../../local/processes.ts';
import { until } from '../support/until.ts';

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
  for (const pid of await processIds()) {
    const environment = (await readOfProcess(pid, 'environ')).split('\0');
    if (marks.every((mark) => environment.includes(mark))) found.push(pid);
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

/** Processor time that all processes of a function have used so far, in ticks of the kernel (10 ms). */
export async function processorTime(functionName: string): Promise<number> {
  let ticks = 0;
  for (const pid of await functionProcesses(functionName)) ticks += (await ticksOf(pid)) ?? 0;
  return ticks;
}

/**
 * Interval between two polls of the processor time of functions, and the number of polls that must find it unchanged.
 */
const IDLE_POLL_MS = 100;
const IDLE_POLLS = 5;

/** Waits until no process of these functions is busy. */
export async function untilIdle(functionNames: readonly string[]): Promise<void> {
  const names = [...new Set(functionNames)];
  let before = '';
  let polls = 0;
  const isIdle = async () => {
    const now = (await Promise.all(names.map(processorTime))).join();
    polls = now === before ? polls + 1 : 0;
    before = now;
    return polls >= IDLE_POLLS;
  };
  await until(`the functions are idle: ${names.join(', ')}`, isIdle, { pauseMs: IDLE_POLL_MS });
}
