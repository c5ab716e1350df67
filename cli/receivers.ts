import { explainAwsError } from '../shared/aws/aws-error.ts';
import { describeError } from '../shared/core/errors.ts';
import { NotFoundError } from '../shared/core/refusals.ts';
import type { Cli } from './cli.ts';

/** Warns if nobody is notified of failures. Deployments of earlier versions do not have notifications. */
export async function warnOfReceivers(cli: Cli): Promise<void> {
  try {
    const { warning } = await (await cli.client()).showNotifications();
    if (warning) cli.output.warn(`${warning.text} ${warning.remedy}`);
  } catch (error) {
    if (error instanceof NotFoundError) return;
    cli.output.warn(
      `The receivers of notifications cannot be read: ${describeError(explainAwsError(error))}`,
    );
  }
}
