import {
  GetFunctionCommand,
  LambdaClient,
  TagResourceCommand,
  UntagResourceCommand,
} from '@aws-sdk/client-lambda';
import type { FunctionState } from './follow.ts';

/** The tag by which the emulator knows what it holds: local/emulator/held.py. */
const TAG = 'emulator:held';
/** The phase in the input of a function that several states of a restore invoke, by state. */
const PHASES = new Map([
  ['Test load of the vectors', 'test-load'],
  ['Load stores', 'clear'],
  ['Verify stores', 'verify'],
  ['Finish stores', 'finish'],
]);

const lambda = new LambdaClient({});

/** A state of a workflow that lasts while a function of it is held. */
export type HeldState = Pick<FunctionState, 'functionName' | 'seenAs'>;

/** The load of a restore's stores: nothing is written before a test has seen that it begins. */
export const LOADS: readonly HeldState[] = ['graph', 'vectors', 'kv'].map((store) => ({
  functionName: `NgbakTest-restore-${store}`,
  seenAs: 'Load stores',
}));

/**
 * Runs `work` while no execution leaves these states, however slow the machine is: their functions start when it has ended, also
 * those of executions that `work` has stopped.
 */
export async function whileHeld<T>(states: readonly HeldState[], work: () => Promise<T>): Promise<T> {
  const held: string[] = [];
  try {
    for (const { functionName: FunctionName, seenAs } of states) {
      const { Configuration } = await lambda.send(new GetFunctionCommand({ FunctionName }));
      const Resource = Configuration?.FunctionArn ?? '';
      const phase = PHASES.get(seenAs);
      const part = phase === undefined ? '' : `"phase": "${phase}"`;
      held.push(Resource);
      await lambda.send(new TagResourceCommand({ Resource, Tags: { [TAG]: part } }));
    }
    return await work();
  } finally {
    for (const Resource of held) await lambda.send(new UntagResourceCommand({ Resource, TagKeys: [TAG] }));
  }
}
