import { SFNClient } from '@aws-sdk/client-sfn';
import { Bucket } from '../aws/bucket.ts';
import { awsClient } from '../aws/clients.ts';
import type { NgbakConfig } from '../core/config.ts';
import { readConfig } from '../core/config-text.ts';
import { InvalidInputError } from '../core/errors.ts';
import type { Json } from '../core/json.ts';

/** What every step of a workflow uses. Created once per function instance. */
export interface Environment {
  readonly bucket: Bucket;
  readonly sfn: SFNClient;
  readonly config: NgbakConfig;
  /** ARN of the workflow that copies backups. Absent unless the function may start it. */
  readonly copyMachine?: string | undefined;
  log(message: string, fields?: Record<string, Json>): void;
}

/** The limits of one invocation of a step. */
export interface LegLimits {
  /** Milliseconds until the step should have ended cleanly. */
  timeLeft(): number;
  /** Aborted shortly before the platform would kill the invocation. */
  readonly signal: AbortSignal;
}

/** Reads `NGBAK_BUCKET`, `NGBAK_CONFIG` and the ARNs of workflows, which are set by the stack. Throws InvalidInputError. */
export function readEnvironment(log: Environment['log']): Environment {
  const name = process.env.NGBAK_BUCKET;
  if (!name) {
    throw new InvalidInputError('NGBAK_BUCKET is not set.', {
      remedy: 'The stack sets it for its functions; elsewhere, set it to the name of the archive bucket.',
    });
  }
  return {
    bucket: new Bucket(name),
    sfn: awsClient('states', SFNClient),
    config: readConfig(),
    copyMachine: process.env.NGBAK_COPY_STATE_MACHINE_ARN,
    log,
  };
}
