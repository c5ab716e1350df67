import { randomBytes } from 'node:crypto';
import { expect } from '@jest/globals';
import { isServed } from '../../../shared/core/store-names.ts';
import type { Environment } from '../../../shared/workflows/environment.ts';
import { cleanUpAfter } from '../../../shared/workflows/janitor/janitor.ts';
import { admitRestore } from '../../../shared/workflows/restore/admit.ts';
import { beginRestore } from '../../../shared/workflows/restore/begin.ts';
import { closeExecution } from '../../../shared/workflows/restore/close-rehearsal.ts';
import { InspectState, inspectArchive } from '../../../shared/workflows/restore/inspect.ts';
import { RestoreState, restoreLeg } from '../../../shared/workflows/restore/leg.ts';
import { waitingMachine } from '../../support/aws.ts';
import { LEG } from '../backup/run-backup.ts';

/** A job, and an execution that holds its lock. */
export interface StartedRestore {
  readonly job_id: string;
  readonly executionArn: string;
}

/** The request of a restore of a backup into target `default`, without a safety backup. */
export const restoreOf = (backup_id: string, changes: object = {}) => ({
  ...{ backup_id, confirm: 'default', safety_backup: false },
  ...changes,
});

/** Runs the first steps of a restore or drill after its request in this process: it is admitted and inspected. */
export async function inspectRestore(environment: Environment, input: object): Promise<StartedRestore> {
  const job_id = `restore_${randomBytes(6).toString('hex')}`;
  const executionArn = await (await waitingMachine(environment.sfn)).start(job_id);
  const execution = { name: job_id, arn: executionArn, start: new Date().toISOString() };
  expect((await admitRestore(environment, input, execution)).admitted).toBe(true);
  for (let state = InspectState.parse({ job_id }); !state.done; )
    state = InspectState.parse(await inspectArchive(environment, state, LEG));
  return { job_id, executionArn };
}

/**
 * Runs the steps of a restore or drill after its request in this process, up to the last leg of the stores.
 *
 * @param leg  the limits of the legs of the stores
 */
export async function runRestore(
  environment: Environment,
  input: object,
  leg = LEG,
): Promise<StartedRestore> {
  const started = await inspectRestore(environment, input);
  const { job_id } = started;
  const { stores } = await beginRestore(environment, job_id, LEG);
  for (const phase of ['clear', 'verify', 'finish'] as const) {
    for (const store of Object.values(stores).flat().filter(isServed)) {
      for (let state = RestoreState.parse({ job_id, phase, done: false }); !state.done; )
        state = await restoreLeg(environment, { ...state, store }, leg);
    }
  }
  return started;
}

/** Runs a whole drill in this process, with the cleanup after it. Returns its job. */
export async function runDrill(environment: Environment, leg = LEG): Promise<string> {
  const input = { drill: {} };
  const { job_id, executionArn } = await runRestore(environment, input, leg);
  await closeExecution(environment, job_id);
  const detail = { executionArn, name: job_id, status: 'SUCCEEDED' as const, input: JSON.stringify(input) };
  await cleanUpAfter(environment, { detail }, LEG);
  return job_id;
}
