import {
  DescribeExecutionCommand,
  DescribeStateMachineCommand,
  GetExecutionHistoryCommand,
  type HistoryEvent,
  type SFNClient,
} from '@aws-sdk/client-sfn';
import type { Ran } from '../cli/run.ts';
import { until } from '../support/until.ts';

/** The part of a state machine's definition used here: https://states-language.net. */
interface Definition {
  readonly States: Record<string, State>;
}
interface State {
  readonly Arguments?: { readonly FunctionName?: string };
  readonly Branches?: readonly Definition[];
  readonly ItemProcessor?: Definition;
}

/** A state that runs a function. */
export interface FunctionState {
  readonly name: string;
  /** The deployed function, such as `NgbakTest-restore-graph`. */
  readonly functionName: string;
  /** The state in the emulator's history: the outermost one around it, which contains it as a branch. */
  readonly seenAs: string;
}

/** The states of a machine that run a function. */
export async function functionStates(sfn: SFNClient, stateMachineArn: string): Promise<FunctionState[]> {
  const { definition = '{}' } = await sfn.send(new DescribeStateMachineCommand({ stateMachineArn }));
  const found: FunctionState[] = [];
  const collect = ({ States }: Definition, outermost?: string) => {
    for (const [name, state] of Object.entries(States)) {
      const arn = state.Arguments?.FunctionName;
      const seenAs = outermost ?? name;
      if (arn !== undefined)
        found.push({ name, functionName: arn.replace(/^.*:function:/, '').replace(/:.*$/, ''), seenAs });
      for (const branch of state.Branches ?? []) collect(branch, seenAs);
      if (state.ItemProcessor) collect(state.ItemProcessor, seenAs);
    }
  };
  collect(JSON.parse(definition) as Definition);
  return found;
}

/** The state of an execution according to its history. */
export interface Progress {
  readonly status: string;
  /** States that were entered and have not been exited. */
  readonly running: readonly string[];
  /** How often each state was entered. */
  readonly entered: ReadonlyMap<string, number>;
  /** Attempts that ended because the process of their function was gone. */
  readonly killed: number;
  /** Attempts that failed, for any reason. */
  readonly failed: number;
  /** By state, milliseconds from its first entry to its last exit. */
  readonly durations: ReadonlyMap<string, number>;
}

/** Reads the state of an execution; undefined if it does not exist. */
export async function progressOf(sfn: SFNClient, executionArn: string): Promise<Progress | undefined> {
  let status: string;
  try {
    status = (await sfn.send(new DescribeExecutionCommand({ executionArn }))).status ?? '';
  } catch (error) {
    if (error instanceof Error && error.name === 'ExecutionDoesNotExist') return undefined;
    throw error;
  }
  const open = new Map<string, number>();
  const entered = new Map<string, number>();
  const since = new Map<string, number>();
  const durations = new Map<string, number>();
  let killed = 0;
  let failed = 0;
  for await (const event of history(sfn, executionArn)) {
    const at = event.timestamp?.getTime() ?? 0;
    const entry = event.stateEnteredEventDetails?.name;
    const exit = event.stateExitedEventDetails?.name;
    if (entry !== undefined) {
      open.set(entry, (open.get(entry) ?? 0) + 1);
      entered.set(entry, (entered.get(entry) ?? 0) + 1);
      if (!since.has(entry)) since.set(entry, at);
    }
    if (exit !== undefined) {
      open.set(exit, (open.get(exit) ?? 0) - 1);
      durations.set(exit, at - (since.get(exit) ?? at));
    }
    if (event.taskFailedEventDetails) failed++;
    if (event.taskFailedEventDetails?.error === 'Runtime.ExitError') killed++;
  }
  const running = [...open].filter(([, count]) => count > 0).map(([name]) => name);
  return { status, running, entered, killed, failed, durations };
}

async function* history(sfn: SFNClient, executionArn: string): AsyncGenerator<HistoryEvent> {
  let nextToken: string | undefined;
  do {
    const page = await sfn.send(
      new GetExecutionHistoryCommand({ executionArn, maxResults: 1000, ...(nextToken && { nextToken }) }),
    );
    yield* page.events ?? [];
    nextToken = page.nextToken;
  } while (nextToken !== undefined);
}

/**
 * Creates a schedule for a time that is near, and for a later one if a busy machine needs more time than that.
 *
 * @param create  a command line with that time, in UTC
 */
export async function createSoon(create: (at: string) => Promise<Ran>): Promise<Ran> {
  let seconds = 10;
  return until(
    'a schedule is created before its time has come',
    () => {
      seconds *= 2;
      return create(new Date(Date.now() + seconds * 1000).toISOString().slice(0, 19));
    },
    { holds: ({ stderr }) => !stderr.includes('never occurs in the future') },
  );
}
