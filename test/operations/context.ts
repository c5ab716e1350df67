import type { OperationsContext } from '../../shared/operations/context.ts';
import { freshEnvironment, waitingMachine } from '../support/aws.ts';

/** A context on a new bucket, whose workflows only run until they are stopped. */
export async function freshContext(
  options: { config?: boolean } = {},
): Promise<OperationsContext & { environment: Awaited<ReturnType<typeof freshEnvironment>> }> {
  const environment = await freshEnvironment();
  const { bucket, sfn, config } = environment;
  const [backup, restore] = await Promise.all([waitingMachine(sfn), waitingMachine(sfn)]);
  return {
    environment,
    bucket,
    sfn,
    stateMachines: { backup: backup.stateMachineArn ?? '', restore: restore.stateMachineArn ?? '' },
    ...(options.config ? { config } : {}),
  };
}
