import { type StateMachine, Succeed } from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import type { StepHandler } from '../step-handler.ts';
import { CAUGHT, failAgain } from './errors.ts';
import { makeStateMachine, type WorkflowSettings } from './state-machine.ts';
import { repeat, step } from './steps.ts';

export interface CopyWorkflowProps extends WorkflowSettings {
  readonly handler: StepHandler;
}

/**
 * One attempt to copy one backup to one other bucket. Separate from the backup workflow, so that a copy neither holds
 * the lock of the target nor fails the backup, and can be repeated.
 */
export class CopyWorkflow extends Construct {
  readonly stateMachine: StateMachine;

  constructor(scope: Construct, id: string, { handler, ...settings }: CopyWorkflowProps) {
    super(scope, id);
    const copy = step(this, 'Copy backup', {
      handler,
      comment: "Copies parts of the archive, on S3's side; then the signature, and the record last",
    });
    const failure = step(this, 'Record failure', {
      handler,
      comment: 'Records in the catalog why the copy failed, and when the next attempt is due',
      outputs: '{% $states.input.failure %}',
    });
    const failed = failAgain(
      this,
      'Copy failed',
      'The cause names the problem. The janitor starts the next attempt',
    );
    failure.next(failed);
    // The janitor finds an attempt that ended without a result.
    failure.addCatch(failed, { errors: ['States.ALL'], outputs: CAUGHT });
    copy.addCatch(failure, {
      errors: ['States.ALL'],
      outputs: {
        backup_id: '{% $states.input.backup_id %}',
        copy: '{% $states.input.copy %}',
        attempt: '{% $states.input.attempt %}',
        failure: CAUGHT,
      },
    });
    const loop = repeat(this, 'Is the copy complete?', copy, Succeed.jsonata(this, 'Copy complete', {}));
    this.stateMachine = makeStateMachine(this, 'Copy', 'ngbak: copies a backup to another bucket', loop, {
      ...settings,
      handlers: [handler],
    });
  }
}
