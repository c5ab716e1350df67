import { Duration } from 'aws-cdk-lib';
import {
  Choice,
  Condition,
  Fail,
  type IChainable,
  IntegrationPattern,
  Map as MapState,
  Pass,
  ProvideItems,
  StateMachine,
  Succeed,
  TaskInput,
  Wait,
  WaitTime,
} from 'aws-cdk-lib/aws-stepfunctions';
import { StepFunctionsStartExecution } from 'aws-cdk-lib/aws-stepfunctions-tasks';
import { Construct } from 'constructs';
import type { ServedRole } from '../../shared/core/store-names.ts';
import type { RestorePhase } from '../../shared/workflows/restore/leg.ts';
import { handlersOf, type StepHandlers } from '../step-handlers.ts';
import { acceptWildcard } from '../wildcards.ts';
import {
  CAUGHT,
  FailureEnds,
  FIRST_LOOK_RETRY,
  failAgain,
  REFUSALS,
  REJECTION,
  START_RETRY,
} from './errors.ts';
import { executionArn, makeStateMachine, stateMachineName, type WorkflowSettings } from './state-machine.ts';
import { EXECUTION, endOfBranch, everyStore, JOB, question, repeat, step } from './steps.ts';

export interface RestoreWorkflowProps extends WorkflowSettings {
  readonly handlers: StepHandlers;
  /** Hours that a restore waits for its confirmation. */
  readonly confirmationHours: number;
}

const BRANCHES = [
  { role: 'graph', words: 'graph', handler: 'restore-graph' },
  { role: 'vectors', words: 'vectors', handler: 'restore-vectors' },
  { role: 'kv', words: 'key-value data', handler: 'restore-kv' },
] as const;

/** The errors of this phase and of earlier ones. Only a rollback collects errors: one for each store and phase. */
const FAILED = '{% [$states.input.failed, $states.result.failed] %}';

/** Restores an archive: admit, inspect, confirm, take a safety backup, load, verify against the archive, clean up. */
export class RestoreWorkflow extends Construct {
  readonly stateMachine: StateMachine;

  constructor(scope: Construct, id: string, props: RestoreWorkflowProps) {
    super(scope, id);
    const { handlers } = props;
    const rejected = {
      name: 'Restore rejected',
      comment: 'Rejected by an operator; nothing was changed',
      errors: [REJECTION],
    };
    const ends = new FailureEnds(this, [
      rejected,
      {
        name: 'Restore refused',
        comment: 'The request must be corrected: see the cause',
        errors: REFUSALS,
      },
      {
        name: 'Restore failed',
        comment: 'The cause names the problem and its place',
        errors: ['States.ALL'],
      },
    ]);
    const admit = step(this, 'Admit upload', {
      handler: handlers['admit-restore'],
      comment: 'Assigns the upload or request to this execution, unless another one has it',
      payload: { input: '{% $states.input %}', execution: EXECUTION },
      assign: {
        job_id: '{% $states.result.Payload.admitted ? $states.result.Payload.job_id : "" %}',
      },
    });
    const thaw = step(this, 'Thaw archive', {
      handler: handlers['thaw-archive'],
      comment: 'Requests the archive from cold storage once. Nothing is locked until it is readable',
      payload: { job_id: JOB },
    });
    const inspect = step(this, 'Inspect archive', {
      handler: handlers['inspect-restore'],
      comment: 'Reads every byte, compares the archive with the target, writes to no store',
    });
    const confirm = question(this, 'Wait for confirmation', {
      handler: handlers['await-confirmation'],
      comment: 'Until an operator confirms with the name of the target, or rejects',
      payload: { job_id: JOB },
      outputs: '{% $states.result %}',
      wait: Duration.hours(props.confirmationHours),
    });
    const begin = step(this, 'Begin restore', {
      handler: handlers['begin-restore'],
      comment: "Takes the target's lock and pauses its writers",
      payload: { job_id: JOB },
      assign: {
        is_rollback: '{% $states.result.Payload.rollback %}',
        stores: '{% $states.result.Payload.stores %}',
        safety_backup: '{% $states.result.Payload.safety_backup %}',
        safety_name: '{% $states.result.Payload.safety_name %}',
        safety_input: '{% $states.result.Payload.safety_input %}',
      },
      outputs: {},
    });
    const testLoad = this.#testLoad(handlers);
    const save = StepFunctionsStartExecution.jsonata(this, 'Back up target', {
      comment: 'The safety backup: a backup of the contents that the restore will replace',
      stateMachine: StateMachine.fromStateMachineName(
        this,
        'BackupWorkflow',
        stateMachineName(this, 'Backup'),
      ),
      integrationPattern: IntegrationPattern.RUN_JOB,
      name: '{% $safety_name %}',
      input: TaskInput.fromText('{% $safety_input %}'),
      outputs: {},
    });
    save.addRetry(START_RETRY);
    const load = this.#phase('Load', 'clear', 'Empties the scope of each store and loads it', handlers);
    const verify = this.#phase(
      'Verify',
      'verify',
      'Reads each store back and compares every record',
      handlers,
    );
    const finish = this.#phase(
      'Finish',
      'finish',
      'Removes auxiliary data of the load from each store',
      handlers,
    );
    const close = step(this, 'Close restore', {
      handler: handlers['close-restore'],
      comment: 'Records what was restored and how it was verified',
      payload: { job_id: JOB },
    });
    confirm.addCatch(
      Fail.jsonata(this, 'Nobody confirmed', {
        comment: 'Nothing was changed',
        error: REJECTION,
        cause: `Nobody confirmed within ${props.confirmationHours} hours. Nothing was changed. Upload the archive again, or name the backup again.`,
      }),
      { errors: ['States.Timeout'] },
    );
    for (const state of [admit, thaw, inspect, confirm, begin, testLoad, save, load, verify, finish, close])
      ends.catch(state);

    load
      .next(verify)
      .next(finish)
      .next(
        Choice.jsonata(this, 'Did every store come through?', {
          comment: 'A rollback continues with the stores that did not fail',
        })
          .when(
            Condition.jsonata('{% $count($states.input.failed) > 0 %}'),
            Fail.jsonata(this, 'Rollback incomplete', {
              comment: 'The other stores were rolled back',
              error: '{% $states.input.failed[0].error %}',
              cause: '{% $join($distinct($states.input.failed.cause), " ") %}',
            }),
          )
          .otherwise(close.next(Succeed.jsonata(this, 'Restore complete', {}))),
      );
    const saving = Choice.jsonata(this, 'Back up the target first?')
      .when(Condition.jsonata('{% $safety_backup %}'), save.next(load))
      .otherwise(load);
    const beginning = begin.next(testLoad).next(saving);
    const inspected = Choice.jsonata(this, 'May the restore begin?')
      .when(
        Condition.jsonata('{% $states.input.dry_run %}'),
        Succeed.jsonata(this, 'Inspected only', {
          comment: 'A dry run ends here',
          outputs: {
            job_id: JOB,
            dry_run: true,
            refused: '{% $states.input.refused %}',
          },
        }),
      )
      .when(Condition.jsonata('{% $states.input.confirmed %}'), beginning)
      .otherwise(
        confirm.next(
          Choice.jsonata(this, 'With other options?', {
            comment: 'While the restore waits, an operator can try other options; nothing is written',
          })
            .when(Condition.jsonata('{% $exists($states.input.options) %}'), inspect)
            .otherwise(begin),
        ),
      );
    const inspecting = repeat(this, 'Is all of it inspected?', inspect, inspected);
    const thawing = thaw.next(
      Choice.jsonata(this, 'Is the archive readable?', {
        comment: 'Thawing takes minutes to two days',
      })
        .when(Condition.jsonata('{% $states.input.readable %}'), inspecting)
        .otherwise(
          Wait.jsonata(this, 'Wait for the thawed archive', {
            comment: 'A few minutes; then the archive is looked at again',
            time: WaitTime.seconds('{% $states.input.wait_seconds %}'),
          }).next(thaw),
        ),
    );
    const admitted = Choice.jsonata(this, 'Is it ours?')
      .when(Condition.jsonata('{% $states.input.admitted and $states.input.thaw %}'), thawing)
      .when(Condition.jsonata('{% $states.input.admitted %}'), inspecting)
      .otherwise(
        Succeed.jsonata(this, 'Nothing to do', {
          comment: 'Another execution handles this job, or a scheduled drill was skipped',
        }),
      );
    this.stateMachine = makeStateMachine(
      this,
      'Restore',
      'ngbak: inspects an archive, loads it into a target and verifies every record',
      admit.next(admitted),
      { ...props, handlers: handlersOf(handlers).map(([, handler]) => handler) },
    );
    acceptWildcard(
      this.stateMachine,
      executionArn(this, 'Backup', '*'),
      'All executions of our own workflow, as CDK writes it to follow and to stop a nested execution.',
    );
  }

  /**
   * One phase of all stores in parallel: a branch for each role, and in it each of its stores. The first error ends the
   * restore; a rollback continues with the other stores, and fails when they are done.
   */
  #phase(verb: string, phase: 'clear' | 'verify' | 'finish', comment: string, handlers: StepHandlers) {
    return everyStore(
      this,
      `${verb} stores`,
      comment,
      BRANCHES.map(({ role, words, handler }) => {
        const start = this.#start(`${verb} the ${words}`, phase);
        const leg = step(this, `${verb} a leg of the ${words}`, {
          handler: handlers[handler],
          comment: 'Continues where the previous leg stopped',
        });
        const done = endOfBranch(this, `${verb} of the ${words} done`);
        const failed = Choice.jsonata(
          this,
          `Does the ${verb.toLowerCase()} of the ${words} belong to a rollback?`,
        )
          .when(
            Condition.jsonata('{% $is_rollback %}'),
            Pass.jsonata(this, `${verb} of the ${words} failed`, {
              outputs: { failed: '{% $states.input %}' },
            }),
          )
          .otherwise(failAgain(this, `${verb} of the ${words} ended`, 'Ends the other stores too'));
        leg.addCatch(failed, { errors: ['States.ALL'], outputs: CAUGHT });
        return this.#eachStore(
          role,
          `${verb} every store of the ${words}`,
          'The stores of a role at the same time, each in legs',
          start.next(repeat(this, `Is the ${verb.toLowerCase()} of the ${words} done?`, leg, done)),
          { failed: '{% [$states.result.failed] %}' },
        );
      }),
      { failed: FAILED },
    );
  }

  /** Before anything is replaced: what only the servers of the vectors can check. */
  #testLoad(handlers: StepHandlers): MapState {
    return this.#eachStore(
      'vectors',
      'Test load',
      'What only the server can check, before anything is replaced',
      this.#start('Begin the test load', 'test-load').next(
        repeat(
          this,
          'Is the test load done?',
          step(this, 'Test load of the vectors', {
            handler: handlers['restore-vectors'],
            comment:
              'Loads snapshots into temporary collections, which only the server can check; replaces nothing',
            retry: FIRST_LOOK_RETRY,
          }),
          endOfBranch(this, 'Test load done'),
        ),
      ),
    );
  }

  /** The restored stores of one role at the same time. */
  #eachStore(
    role: ServedRole,
    name: string,
    comment: string,
    legs: IChainable,
    outputs: unknown = {},
  ): MapState {
    const stores = MapState.jsonata(this, name, {
      comment,
      items: ProvideItems.jsonata(`{% $stores.${role} %}`),
      outputs,
    });
    return stores.itemProcessor(legs);
  }

  /** The first leg of a phase of one store, whose name is the input. */
  #start(name: string, phase: RestorePhase): Pass {
    return Pass.jsonata(this, name, {
      outputs: { job_id: JOB, store: '{% $states.input %}', phase, cursor: null, leg: 0, done: false },
    });
  }
}
