import { randomBytes } from 'node:crypto';
import { isServed } from '../../../shared/core/store-names.ts';
import type { Environment } from '../../../shared/workflows/environment.ts';
import { admitRestore } from '../../../shared/workflows/restore/admit.ts';
import { beginRestore } from '../../../shared/workflows/restore/begin.ts';
import { InspectState, inspectArchive } from '../../../shared/workflows/restore/inspect.ts';
import { RestoreState, restoreLeg } from '../../../shared/workflows/restore/leg.ts';
import { waitingMachine } from '../../support/aws.ts';
import { LEG } from '../backup/run-backup.ts';

/** The request of a restore of a backup into target `default`, without a safety backup. */
export const restoreOf = (backup_id: string, changes: object = {}) => ({
  ...{ backup_id, confirm: 'default', safety_backup: false },
  ...changes,
});

/**
 * Runs the steps of a restore or drill after its request in this process, up to the last leg of the stores. Returns its
 * job, and an execution that holds its lock.
 */
export async function runRestore(
  environment: Environment,
  input: object,
): Promise<{ job_id: string; executionArn: string }> {
  const job_id = `restore_${randomBytes(6).toString('hex')}`;
  const executionArn = await (await waitingMachine(environment.sfn)).start(job_id);
  const execution = { name: job_id, arn: executionArn, start: new Date().toISOString() };
  await admitRestore(environment, input, execution);
  for (let state = InspectState.parse({ job_id }); !state.done; )
    state = InspectState.parse(await inspectArchive(environment, state, LEG));
  const { stores } = await beginRestore(environment, job_id, LEG);
  for (const phase of ['clear', 'verify', 'finish'] as const) {
    for (const store of Object.values(stores).flat().filter(isServed)) {
      for (let state = RestoreState.parse({ job_id, phase, done: false }); !state.done; )
        state = await restoreLeg(environment, { ...state, store }, LEG);
    }
  }
  return { job_id, executionArn };
}
