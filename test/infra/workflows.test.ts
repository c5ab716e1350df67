import { beforeAll, describe, expect, test } from '@jest/globals';
import validate from 'asl-validator';
import type { Template } from 'aws-cdk-lib/assertions';
import jsonata from 'jsonata';
import {
  CONCURRENCY_ERRORS,
  MEMORY_ERRORS,
  PLATFORM_ERRORS,
  TRANSIENT_ERRORS,
} from '../../infra/workflows/errors.ts';
import {
  describeError,
  InvalidInputError,
  type NgbakError,
  UnavailableError,
} from '../../shared/core/errors.ts';
import { synthesize, write } from './template.ts';

interface Retrier {
  ErrorEquals: string[];
  IntervalSeconds: number;
  BackoffRate: number;
  MaxDelaySeconds?: number;
  MaxAttempts: number;
  JitterStrategy?: string;
}

/** Total delay of a retrier in seconds, without jitter. */
function longestWait(retrier: Retrier | undefined): number {
  if (retrier === undefined) return 0;
  const { IntervalSeconds, BackoffRate, MaxAttempts, MaxDelaySeconds = Number.POSITIVE_INFINITY } = retrier;
  const delays = Array.from({ length: MaxAttempts }, (_, attempt) =>
    Math.min(IntervalSeconds * BackoffRate ** attempt, MaxDelaySeconds),
  );
  return delays.reduce((sum, delay) => sum + delay, 0);
}

/** Minimum total delay of a retrier in seconds: zero with full jitter. */
function leastWait(retrier: Retrier | undefined): number {
  return retrier?.JitterStrategy === 'FULL' ? 0 : longestWait(retrier);
}

/** The fields of states that these tests use. */
interface State {
  Type: string;
  Comment?: string;
  Next?: string;
  Default?: string;
  Resource?: string;
  Output?: unknown;
  Retry?: Retrier[];
  TimeoutSeconds?: number;
  MaxConcurrency?: number;
  Catch?: { ErrorEquals: string[]; Next: string; Output?: Record<string, string> }[];
  Choices?: { Next: string }[];
  Branches?: Machine[];
  ItemProcessor?: Machine;
}

interface Machine {
  StartAt: string;
  QueryLanguage?: string;
  TimeoutSeconds?: number;
  States: Record<string, State>;
}

let template: Template;
let machines: { Backup: Machine; Restore: Machine };

beforeAll(() => {
  template = synthesize();
  const definition = (name: string): Machine => {
    const [found] = Object.values(template.findResources('AWS::StepFunctions::StateMachine')).filter(
      ({ Properties }) => Properties.StateMachineName === `Ngbak-${name}`,
    );
    return JSON.parse(write(found?.Properties.DefinitionString)) as Machine;
  };
  machines = { Backup: definition('Backup'), Restore: definition('Restore') };
});

/** Every state of a machine, including those within branches and loops. */
function allStates(machine: Pick<Machine, 'States'>): [string, State][] {
  return Object.entries(machine.States).flatMap(([name, state]) => {
    const inner = [...(state.Branches ?? []), ...(state.ItemProcessor ? [state.ItemProcessor] : [])];
    return [[name, state] as [string, State], ...inner.flatMap(allStates)];
  });
}

/** The states of a machine that invoke a function. */
const invocations = (name: 'Backup' | 'Restore') =>
  allStates(machines[name]).filter(([, { Resource }]) => String(Resource).includes(':lambda:'));

describe.each(['Backup', 'Restore'] as const)('the %s workflow', (name) => {
  test('is valid Amazon States Language in JSONata, with a time limit', () => {
    const machine = machines[name];
    const { isValid, errorsText } = validate(machine);
    expect([isValid, errorsText('\n')]).toEqual([true, '']);
    expect(machine.QueryLanguage).toBe('JSONata');
    expect(machine.TimeoutSeconds).toBe(7 * 24 * 3600);
  });

  test('logs state transitions but not their data, and is traced', () => {
    template.hasResourceProperties('AWS::StepFunctions::StateMachine', {
      StateMachineName: `Ngbak-${name}`,
      StateMachineType: 'STANDARD',
      LoggingConfiguration: { IncludeExecutionData: false, Level: 'ALL' },
      TracingConfiguration: { Enabled: true },
    });
  });

  test('retries every invocation after transient errors, with random jitter', () => {
    expect(invocations(name).length).toBeGreaterThan(8);
    for (const [state, { Retry, TimeoutSeconds }] of invocations(name)) {
      expect(Retry?.at(-1)).toMatchObject({
        ErrorEquals: TRANSIENT_ERRORS,
        JitterStrategy: 'FULL',
        // A user may be waiting for the first access to the stores; a snapshot that kills its server is not retried for
        // long.
        MaxAttempts: ['Plan backup', 'Test load of the vectors'].includes(state) ? 3 : 7,
      });
      expect(TimeoutSeconds).toEqual(expect.any(Number));
    }
  });

  test('waits minutes for a function whose network interfaces Lambda has to recreate', () => {
    for (const [state, { Retry }] of invocations(name)) {
      const retrier = Retry?.find(({ ErrorEquals }) =>
        ErrorEquals.includes('Lambda.ResourceNotReadyException'),
      );
      expect([state, retrier?.ErrorEquals]).toEqual([state, PLATFORM_ERRORS]);
      expect(retrier?.ErrorEquals).toContain('Lambda.ResourceConflictException');
      expect(leastWait(retrier)).toBeGreaterThanOrEqual(180);
    }
  });

  test('waits longer than a leg takes if the account has no free concurrency', () => {
    for (const [state, { Retry }] of invocations(name)) {
      const retrier = Retry?.find(({ ErrorEquals }) =>
        ErrorEquals.includes('Lambda.TooManyRequestsException'),
      );
      expect([state, retrier?.ErrorEquals]).toEqual([state, CONCURRENCY_ERRORS]);
      // With full jitter, half of the delays on average.
      expect(longestWait(retrier) / 2).toBeGreaterThan(3600);
    }
  });

  test('retries a function that ran out of memory, but less often than one that was interrupted', () => {
    for (const [state, { Retry }] of invocations(name)) {
      const retrier = Retry?.find(({ ErrorEquals }) => ErrorEquals.includes('Runtime.OutOfMemory'));
      expect([state, retrier?.ErrorEquals, retrier?.MaxAttempts]).toEqual([state, MEMORY_ERRORS, 2]);
    }
  });

  test('has each error in one retrier only, since the first match decides', () => {
    for (const [, { Retry }] of invocations(name)) {
      const names = Retry?.flatMap(({ ErrorEquals }) => ErrorEquals) ?? [];
      expect(new Set(names).size).toBe(names.length);
    }
  });

  test('routes every error of every state to an end with a cause', () => {
    for (const [state, { Type, Catch }] of Object.entries(machines[name].States)) {
      if (Type !== 'Task' && Type !== 'Parallel' && Type !== 'Map') continue;
      const handlers = Catch ?? [];
      expect([state, handlers.at(-1)?.ErrorEquals]).toEqual([state, ['States.ALL']]);
      for (const { Next } of handlers) expect(machines[name].States[Next]?.Type).toBe('Fail');
    }
  });

  test('distinguishes refusals, which need an action, from failures', () => {
    const [first] = Object.values(machines[name].States);
    const ends = (first?.Catch ?? []).map(({ ErrorEquals, Next }) => [Next, ErrorEquals]);
    expect(ends).toContainEqual([
      `${name} refused`,
      ['InvalidInputError', 'ObjectArchivedError', 'AccessDeniedError', 'TargetLockedError', 'HookError'],
    ]);
    expect(ends.at(-1)).toEqual([`${name} failed`, ['States.ALL']]);
  });

  test('discards the results of branches and loops, so that its state never grows', () => {
    const collecting = allStates(machines[name]).filter(
      ([, { Type }]) => Type === 'Map' || Type === 'Parallel',
    );
    expect(collecting.length).toBeGreaterThanOrEqual(3);
    // In a rollback, at most one error for each store and phase.
    const errors = { failed: '{% [$states.input.failed, $states.result.failed] %}' };
    const ofRollback = ['Load stores', 'Verify stores', 'Finish stores'];
    const ofStores = { failed: '{% [$states.result.failed] %}' };
    for (const [state, { Output }] of collecting) {
      const expected = ofRollback.includes(state) ? errors : /every store of/.test(state) ? ofStores : {};
      expect([state, Output]).toEqual([state, expected]);
    }
  });

  test('has a name of at most 80 characters for every state, and a comment on what it does', () => {
    for (const [state, { Type, Comment }] of allStates(machines[name])) {
      expect(state.length).toBeLessThanOrEqual(80);
      if (Type === 'Task' || Type === 'Parallel') expect([state, typeof Comment]).toEqual([state, 'string']);
    }
  });
});

test('a backup exports every store, each in legs, before it seals, verifies and records', () => {
  const { States } = machines.Backup;
  const history: string[] = [];
  for (let at: string | undefined = machines.Backup.StartAt; at; ) {
    history.push(at);
    const state: State | undefined = States[at];
    at = state?.Next ?? state?.Choices?.[0]?.Next;
  }
  expect(history).toEqual([
    'Plan backup',
    'Is the target free?',
    'Export stores',
    'Check consistency',
    'Seal archive',
    'Is the archive complete?',
    'Verify archive',
    'Is all of it verified?',
    'Record in catalog',
    'Backup complete',
  ]);
  expect(States['Is the target free?']?.Default).toBe('Backup skipped');
  const branches = States['Export stores']?.Branches ?? [];
  expect(branches.map(({ StartAt }) => StartAt)).toEqual([
    'Export the graph',
    'Export the vectors',
    'Export the key-value data',
    'Export the configuration',
  ]);
  for (const { States: branch, StartAt } of branches) {
    const { ItemProcessor, MaxConcurrency } = branch[StartAt] ?? {};
    expect(MaxConcurrency).toBe(4);
    const choice = Object.values(ItemProcessor?.States ?? {}).find(({ Type }) => Type === 'Choice');
    expect(choice?.Default).toBe(ItemProcessor?.StartAt);
  }
});

describe('a restore', () => {
  test('touches no store before the archive is inspected and the restore confirmed', () => {
    const { States } = machines.Restore;
    const next = (name: string) => {
      const state = States[name];
      const choices = state?.Choices?.map(({ Next }) => Next) ?? [];
      return [...choices, state?.Default, state?.Next].filter((to): to is string => typeof to === 'string');
    };
    const reach = (from: string, without: string, seen = new Set<string>()): Set<string> => {
      if (from === without || seen.has(from)) return seen;
      seen.add(from);
      for (const to of next(from)) reach(to, without, seen);
      return seen;
    };
    expect(reach('Admit upload', '').has('Load stores')).toBe(true);
    for (const gate of ['Inspect archive', 'May the restore begin?', 'Begin restore', 'Test load']) {
      expect([gate, reach('Admit upload', gate).has('Load stores')]).toEqual([gate, false]);
    }
    for (const gate of ['Load stores', 'Verify stores', 'Finish stores', 'Close restore']) {
      expect([gate, reach('Admit upload', gate).has('Restore complete')]).toEqual([gate, false]);
    }
  });

  test('that is not confirmed in time ends as if it had been rejected', () => {
    const waiting = machines.Restore.States['Wait for confirmation'];
    expect(waiting?.TimeoutSeconds).toBe(24 * 3600);
    expect(waiting?.Catch?.[0]).toEqual({
      ErrorEquals: ['States.Timeout'],
      Next: 'Nobody confirmed',
    });
    expect(machines.Restore.States['Nobody confirmed']).toMatchObject({ Error: 'RestoreRejected' });
  });
});

test('a rollback that fails in some stores continues with the others, and states each error once', async () => {
  const { Branches = [], Output } = machines.Restore.States['Load stores'] ?? {};
  const evaluate = async (text: unknown, states: object) => {
    const found: unknown = await jsonata(String(text).replace(/^\{%|%\}$/g, '')).evaluate({}, { states });
    return JSON.parse(JSON.stringify(found)) as unknown;
  };
  const [kv] = Branches.flatMap(({ States }) => Object.entries(States)).filter(([name]) =>
    name.endsWith('every store of the key-value data'),
  );
  const errors = ['one', 'two'].map((cause) => ({ error: 'NgbakError', cause }));
  const failedOf = (output: unknown) => (output as { failed?: unknown } | undefined)?.failed;
  const ofRole = await evaluate(failedOf(kv?.[1].Output), {
    result: [{}, ...errors.map((failed) => ({ failed }))],
  });
  expect(ofRole).toEqual(errors);
  const none = await evaluate(failedOf(kv?.[1].Output), { result: [{}] });
  expect(none).toEqual([]);
  const states = { input: { failed: [] }, result: [{ failed: none }, { failed: ofRole }, { failed: none }] };
  expect(await evaluate(failedOf(Output), states)).toEqual(errors);
  expect(await evaluate(failedOf(Output), { input: {}, result: [{ failed: none }] })).toEqual([]);
});

describe('the cause shown to an operator', () => {
  /** Evaluates the output of a catcher as Step Functions does. */
  async function caught(error: string, cause?: string): Promise<{ error: string; cause: string }> {
    const handler = machines.Backup.States['Plan backup']?.Catch?.[0];
    const evaluate = async (field: 'error' | 'cause') => {
      const text = handler?.Output?.[field] ?? '';
      const expression = jsonata(text.replace(/^\{%/, '').replace(/%\}$/, ''));
      expression.registerFunction('parse', (json: string) => JSON.parse(json));
      const errorOutput = { Error: error, ...(cause === undefined ? {} : { Cause: cause }) };
      return (await expression.evaluate({}, { states: { errorOutput } })) as string;
    };
    return { error: await evaluate('error'), cause: await evaluate('cause') };
  }

  test('is the message of the function, with its remedy', async () => {
    const message = describeError(new InvalidInputError('No target "x".', { remedy: 'Use "default".' }));
    const cause = JSON.stringify({
      errorType: 'InvalidInputError',
      errorMessage: message,
      trace: ['a', 'b'],
    });
    expect(await caught('InvalidInputError', cause)).toEqual({ error: 'InvalidInputError', cause: message });
  });

  test('is the error of a nested execution, under its name', async () => {
    const cause = JSON.stringify({
      Cause: 'Target "x" is in use by backup job y.',
      Error: 'TargetLockedError',
      ExecutionArn: 'arn:aws:states:eu-central-1:111122223333:execution:Ngbak-Backup:safety_z',
      Status: 'FAILED',
    });
    expect(await caught('States.TaskFailed', cause)).toEqual({
      error: 'TargetLockedError',
      cause: 'Target "x" is in use by backup job y.',
    });
  });

  test.each([
    ['plain text', 'The sandbox was killed', 'The sandbox was killed'],
    ['JSON that was cut off', '{"errorMessage": "too lo', '{"errorMessage": "too lo'],
    ['JSON without a message', '{"other":1}', '{"other":1}'],
    ['a list', '["x"]', '["x"]'],
  ])('is shown unchanged if it is %s', async (_, cause, expected) => {
    expect(await caught('States.TaskFailed', cause)).toEqual({ error: 'States.TaskFailed', cause: expected });
  });

  test.each([undefined, ''])('is never empty, also if the step returned %j', async (cause) => {
    expect((await caught('States.Timeout', cause)).cause).toMatch(/history in the Step Functions console/);
  });
});

test('every retryable ngbak error is in the list of retried errors', () => {
  const retryable: NgbakError = new UnavailableError('x', { remedy: 'y' });
  expect(retryable.retryable).toBe(true);
  expect(TRANSIENT_ERRORS).toContain(retryable.name);
  expect(TRANSIENT_ERRORS).not.toContain(new InvalidInputError('x', { remedy: 'y' }).name);
});

test('a safety backup that could not be started is started again, and one that failed is not', () => {
  const save = machines.Restore.States['Back up target'];
  const retried = JSON.stringify(save?.Retry);
  expect(retried).toContain('StepFunctions.ThrottlingException');
  expect(retried).not.toContain('States.');
});
