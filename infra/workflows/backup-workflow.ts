import {
  Choice,
  Condition,
  Map as MapState,
  ProvideItems,
  type StateMachine,
  Succeed,
} from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import { handlersOf, type StepHandlers } from '../step-handlers.ts';
import { FailureEnds, FIRST_LOOK_RETRY, REFUSALS } from './errors.ts';
import { makeStateMachine, type WorkflowSettings } from './state-machine.ts';
import { EXECUTION, endOfBranch, everyStore, JOB, repeat, step } from './steps.ts';

export interface BackupWorkflowProps extends WorkflowSettings {
  readonly handlers: StepHandlers;
  /** Shards of one store that are exported at the same time. */
  readonly exportersPerStore: number;
}

const BRANCHES = [
  { role: 'graph', words: 'graph', handler: 'export-graph' },
  { role: 'vectors', words: 'vectors', handler: 'export-vectors' },
  { role: 'kv', words: 'key-value data', handler: 'export-kv' },
  { role: 'config', words: 'configuration', handler: 'export-config' },
] as const;

/** Backs up a target: plan, export every store in parallel, compose, verify, record. */
export class BackupWorkflow extends Construct {
  readonly stateMachine: StateMachine;

  constructor(scope: Construct, id: string, props: BackupWorkflowProps) {
    super(scope, id);
    const { handlers } = props;
    const ends = new FailureEnds(this, [
      {
        name: 'Backup refused',
        comment: 'The request must be corrected: see the cause',
        errors: REFUSALS,
      },
      { name: 'Backup failed', comment: 'The cause names the problem and its place', errors: ['States.ALL'] },
    ]);
    const plan = step(this, 'Plan backup', {
      handler: handlers['plan-backup'],
      comment: 'Validates the request, locks the target, measures its stores and divides them into shards',
      payload: { input: '{% $states.input %}', execution: EXECUTION },
      assign: { job_id: '{% $states.result.Payload.job_id %}' },
      retry: FIRST_LOOK_RETRY,
    });
    const exports = everyStore(
      this,
      'Export stores',
      'All stores in parallel, every shard in legs, each leg into its own segment',
      BRANCHES.map((branch) => this.#export(branch, props)),
    );
    const fences = step(this, 'Check consistency', {
      handler: handlers['check-fences'],
      comment: 'Measures the stores again and determines the consistency of their copies',
      payload: { job_id: JOB },
      outputs: { job_id: JOB, cursor: null, done: false },
    });
    const seal = step(this, 'Seal archive', {
      handler: handlers['seal-backup'],
      comment: "Composes the segments into one archive, on S3's side",
    });
    const readBack = step(this, 'Verify archive', {
      handler: handlers['verify-backup'],
      comment: 'Reads the archive back: every byte, every record, and the counts of its manifest',
    });
    const record = step(this, 'Record in catalog', {
      handler: handlers['catalog-backup'],
      comment: 'Adds the backup to the catalog',
      payload: { job_id: JOB },
    });
    for (const state of [plan, exports, fences, seal, readBack, record]) ends.catch(state);

    const recording = record.next(Succeed.jsonata(this, 'Backup complete', {}));
    const reading = repeat(this, 'Is all of it verified?', readBack, recording);
    const sealing = repeat(this, 'Is the archive complete?', seal, reading);
    const skipped = Succeed.jsonata(this, 'Backup skipped', {
      comment: 'A scheduled run while another job was running; the record of the job names it',
    });
    const free = Choice.jsonata(this, 'Is the target free?')
      .when(
        Condition.jsonata('{% $not($exists($states.input.skipped)) %}'),
        exports.next(fences).next(sealing),
      )
      .otherwise(skipped);
    this.stateMachine = makeStateMachine(
      this,
      'Backup',
      'ngbak: backs up the stores of a target into one archive and verifies it',
      plan.next(free),
      { ...props, handlers: handlersOf(handlers).map(([, handler]) => handler) },
    );
  }

  /** The stores of one role: their shards in parallel, the legs of each shard in sequence. */
  #export({ role, words, handler }: (typeof BRANCHES)[number], props: BackupWorkflowProps): MapState {
    const leg = step(this, `Export a leg of the ${words}`, {
      handler: props.handlers[handler],
      comment: 'Continues where the previous leg stopped',
    });
    const shards = MapState.jsonata(this, `Export the ${words}`, {
      items: ProvideItems.jsonata(`{% $states.input.${role} %}`),
      maxConcurrency: props.exportersPerStore,
      outputs: {},
    });
    return shards.itemProcessor(
      repeat(
        this,
        `Is the shard of the ${words} done?`,
        leg,
        endOfBranch(this, `A shard of the ${words} is saved`),
      ),
    );
  }
}
