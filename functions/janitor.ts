import { z } from 'zod';
import { cleanUpAfter, ExecutionEnded } from '../shared/workflows/janitor/janitor.ts';
import { ReconcileInput, reconcile } from '../shared/workflows/janitor/reconcile.ts';
import { UndeliveredEvents } from '../shared/workflows/janitor/undelivered.ts';
import { step } from './step.ts';

/**
 * Cleans up after every execution of either workflow, however it ended. On a schedule, also after executions whose
 * events were lost.
 */
export const handler = step(z.union([ReconcileInput, ExecutionEnded]), async (environment, input, leg) => {
  if (!('reconcile' in input)) return cleanUpAfter(environment, input, leg);
  const queue = process.env.NGBAK_UNDELIVERED_QUEUE_URL;
  return reconcile(
    environment,
    input,
    leg,
    queue ? new UndeliveredEvents(queue, environment.log) : undefined,
  );
});
