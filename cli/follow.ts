import { setTimeout as delay } from 'node:timers/promises';
import { UnavailableError } from '../shared/errors.ts';
import { hasEnded } from '../shared/jobs/record.ts';
import { explainAwsError } from '../shared/operations/aws-error.ts';
import type { JobView } from '../shared/operations/show-job.ts';
import { describeUnits, JobBars } from './bars.ts';
import type { Cli } from './cli.ts';
import type { Client } from './client.ts';
import { ExitError } from './exit-codes.ts';
import { stateText } from './job-text.ts';
import { ask } from './prompt.ts';

/** How often a job is looked at, in milliseconds. */
const LOOK_MS = 1000;
/** Without a terminal, progress is told this often at most, in milliseconds. */
const TELL_MS = 10_000;
/** How long a service may not answer before watching ends, in milliseconds; the job goes on meanwhile. */
const PATIENCE_MS = 60_000;

/**
 * Follows a job until it has ended or waits for a confirmation, with bars at a terminal and plain lines without one.
 * Ctrl-C asks whether to cancel the job or only to stop watching; in a pipe it stops watching. Throws ExitError where
 * the operator stopped watching.
 */
export async function followJob(cli: Cli, client: Client, jobId: string): Promise<JobView> {
  const shown = cli.output.interactive && !cli.output.quiet ? new JobBars() : undefined;
  const interrupt = new Interrupt();
  const teller = new Teller(cli);
  let answeredAt = Date.now();
  try {
    for (;;) {
      const job = await look(client, jobId);
      if (job) {
        answeredAt = Date.now();
        shown?.update(job.progress);
        teller.tell(job);
        if (hasEnded(job.state) || job.state === 'awaiting_confirmation') return job;
      } else if (Date.now() - answeredAt > PATIENCE_MS) {
        cli.output.warn(`${client.where} does not answer. The job goes on: \`ngbak job ${jobId} --wait\`.`);
        throw new ExitError('unavailable');
      }
      await interrupt.sleep(LOOK_MS);
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

/** The job as it is, or undefined where the service does not answer at this moment. */
async function look(client: Client, jobId: string): Promise<JobView | undefined> {
  try {
    return await client.showJob(jobId);
  } catch (error) {
    const explained = explainAwsError(error);
    if (explained instanceof UnavailableError) return undefined;
    throw explained;
  }
}

/** What Ctrl-C means, asked at a terminal. Returns to go on watching. */
async function decide(cli: Cli, client: Client, jobId: string): Promise<void> {
  const answer = cli.output.interactive
    ? await ask('\nStop watching (Enter), cancel the job (c), or go on watching (g)? ')
    : undefined;
  if (answer === 'g') return;
  if (answer === 'c') {
    cli.output.note((await client.cancelJob(jobId)).message);
    return;
  }
  cli.output.note(`The job goes on. Watch it again with: ngbak job ${jobId} --wait`);
  throw new ExitError('interrupted');
}

/** Says what has changed: each new state at once, progress now and then. */
class Teller {
  readonly #cli: Cli;
  #state: string | undefined;
  #loggedUntil = '';
  #toldAt = 0;

  constructor(cli: Cli) {
    this.#cli = cli;
  }

  tell(job: JobView): void {
    const { output } = this.#cli;
    if (output.interactive && !output.json) return;
    const stateChanged = job.state !== this.#state;
    const due = Date.now() - this.#toldAt >= (output.json ? LOOK_MS : TELL_MS);
    if (output.json) {
      if (stateChanged || due) {
        const { job_id, state, progress } = job;
        output.event('progress', { job_id, state, progress });
      }
    } else {
      if (stateChanged) output.note(`${job.job_id}: ${stateText(job.state)}`);
      for (const { at, text } of job.log) if (at > this.#loggedUntil) output.note(`  ${text}`);
      this.#loggedUntil = job.log.at(-1)?.at ?? this.#loggedUntil;
      if (due) {
        for (const store of job.progress) {
          if (Object.keys(store.units).length === 0) continue;
          output.note(`  ${store.store} ${store.phase}: ${describeUnits(store)}`);
        }
      }
    }
    this.#state = job.state;
    if (due) this.#toldAt = Date.now();
  }
}

/** Ctrl-C as a value: the first wakes the sleeper, and a second while it is being handled ends the process as usual. */
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

  /** Whether there was one since the last call. */
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
