import { setTimeout as delay } from 'node:timers/promises';
import { explainAwsError } from '../shared/aws/aws-error.ts';
import { UnavailableError } from '../shared/core/errors.ts';
import { hasEnded } from '../shared/core/job-state.ts';
import type { JobView } from '../shared/operations/show-job.ts';
import { JobBars } from './bars.ts';
import type { Cli } from './cli.ts';
import type { CliClient } from './client.ts';
import { ExitError } from './exit-codes.ts';
import { printable } from './format.ts';
import { stateText } from './job-text.ts';
import { phaseText, progressLine } from './progress-text.ts';
import { overallLine, stageText } from './progress-units.ts';
import { ask } from './prompt.ts';
import { waitingText } from './storage-text.ts';

/** Time between two requests for the job, in milliseconds. */
const POLL_MS = 1000;
/** Minimum interval of progress lines without a terminal, in milliseconds. */
const PROGRESS_MS = 10_000;
/** Time without a response after which the CLI stops following the job, in milliseconds; the job continues. */
const PATIENCE_MS = 60_000;

/**
 * Follows a job until it has ended or waits for a confirmation, with bars at a terminal and plain lines without one.
 * Ctrl-C asks whether to cancel the job or only to stop following it; in a pipe it stops following. Throws ExitError if
 * the operator stopped following.
 */
export async function followJob(cli: Cli, client: CliClient, jobId: string): Promise<JobView> {
  const shown = cli.output.interactive && !cli.output.quiet ? new JobBars() : undefined;
  const interrupt = new Interrupt();
  const printer = new ProgressPrinter(cli);
  let answeredAt = Date.now();
  try {
    for (;;) {
      const job = await look(client, jobId);
      if (job) {
        answeredAt = Date.now();
        shown?.update(job);
        printer.print(job);
        if (hasEnded(job.state) || job.state === 'awaiting_confirmation') return job;
      } else if (Date.now() - answeredAt > PATIENCE_MS) {
        cli.output.warn(`${client.where} does not answer. ${continues(jobId)}`);
        throw new ExitError('unavailable');
      }
      await interrupt.sleep(POLL_MS);
      if (interrupt.taken()) {
        shown?.stop();
        await decide(cli, client, jobId);
      }
    }
  } finally {
    interrupt.close();
    shown?.stop();
  }
}

/** The current state of the job, or undefined if the service does not respond at the moment. */
async function look(client: CliClient, jobId: string): Promise<JobView | undefined> {
  try {
    return await client.showJob(jobId);
  } catch (error) {
    const explained = explainAwsError(error);
    if (explained instanceof UnavailableError) return undefined;
    throw explained;
  }
}

/** Asks at a terminal what Ctrl-C should do. Returns to continue following the job. */
async function decide(cli: Cli, client: CliClient, jobId: string): Promise<void> {
  const answer = cli.output.interactive
    ? await ask('\nStop watching (Enter), cancel the job (c), or continue watching (w)? ')
    : undefined;
  if (answer === 'w') return;
  if (answer === 'c') {
    cli.output.note((await client.cancelJob(jobId)).message);
    return;
  }
  cli.output.note(continues(jobId));
  throw new ExitError('interrupted');
}

function continues(jobId: string): string {
  return `The job continues in the background. Follow it with \`ngbak job ${jobId} --wait\`.`;
}

/** Prints changes: new states and steps at once, progress at intervals. */
export class ProgressPrinter {
  readonly #cli: Pick<Cli, 'output'>;
  readonly #printed = new Set<string>();
  #state: string | undefined;
  #printedAt = 0;

  constructor(cli: Pick<Cli, 'output'>) {
    this.#cli = cli;
  }

  print(job: JobView): void {
    const { output } = this.#cli;
    this.#printWait(job);
    if (output.interactive && !output.json) return;
    const stateChanged = job.state !== this.#state;
    const due = Date.now() - this.#printedAt >= (output.json ? POLL_MS : PROGRESS_MS);
    if (output.json) {
      if (stateChanged || due) {
        const { job_id, state, progress, overall, thaw } = job;
        output.event('progress', {
          ...{ job_id, state, progress },
          ...(overall ? { overall } : {}),
          ...(thaw ? { thaw } : {}),
        });
      }
    } else {
      const state = () => stateChanged && output.note(`State: ${stateText(job.state)}`);
      // The last steps precede the state that they led to.
      const ended = hasEnded(job.state);
      if (!ended) state();
      this.#printSteps(job);
      if (due && !ended) {
        for (const store of job.progress) {
          if (Object.keys(store.units).length === 0) continue;
          output.note(`  ${phaseText(store)}: ${progressLine(store)}`);
        }
        if (job.overall) output.note(`  ${stageText(job.overall)}: ${overallLine(job.overall)}`);
      }
      if (ended) state();
    }
    this.#state = job.state;
    if (due) this.#printedAt = Date.now();
  }

  /** Also at a terminal, where nothing else moves while the archive is thawed. */
  #printWait(job: JobView): void {
    const text = waitingText(job);
    if (text === undefined || this.#printed.has(text)) return;
    this.#printed.add(text);
    this.#cli.output.note(
      `  The job is ${job.thaw?.ready_at === undefined ? text : `no longer waiting: ${text}`}`,
    );
  }

  /** Each step once, regardless of its number of legs; with `--verbose` every leg. */
  #printSteps({ log }: JobView): void {
    const { output } = this.#cli;
    for (const { at, text } of log) {
      const line = output.verbose ? `${at} ${text}` : text;
      if (this.#printed.has(line)) continue;
      this.#printed.add(line);
      output.note(`  ${printable(line)}`);
    }
  }
}

/**
 * Ctrl-C as a value: the first one wakes the sleeper, and a second one while it is being handled ends the process as
 * usual.
 */
class Interrupt {
  #wake = new AbortController();
  readonly #listener = () => this.#wake.abort();

  constructor() {
    process.on('SIGINT', this.#listener);
    process.on('SIGTERM', this.#listener);
  }

  async sleep(ms: number): Promise<void> {
    try {
      await delay(ms, undefined, { signal: this.#wake.signal });
    } catch (error) {
      if (!this.#wake.signal.aborted) throw error;
    }
  }

  /** Whether Ctrl-C was pressed since the last call. */
  taken(): boolean {
    if (!this.#wake.signal.aborted) return false;
    this.#wake = new AbortController();
    return true;
  }

  close(): void {
    process.off('SIGINT', this.#listener);
    process.off('SIGTERM', this.#listener);
  }
}
