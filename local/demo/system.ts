import type { Blueprint } from '../knowledge-base/blueprint.ts';
import type { RecordCounts } from '../knowledge-base/copies.ts';
import type { Proof } from '../proof/proof.ts';
import type { Stack } from '../stack.ts';
import type { StepView } from './screen.ts';

/** Name of the knowledge base. */
export const NAMESPACE = 'demo';

/** What a step of the demo gets to start servers or to write into them. */
export interface StepOptions {
  readonly view: StepView;
  readonly signal: AbortSignal;
}

export interface LoadOptions extends StepOptions {
  readonly scale: number;
  readonly folder: string;
  /** Default: that of the installed packages. */
  readonly blueprint?: Blueprint;
}

/** A system whose knowledge base the demo builds. */
export interface DemoSystem {
  /** The servers of the stores: `['Neo4j', 'Qdrant', 'Redis']`. */
  readonly servers: readonly string[];
  /** What the proof covers, as the rest of a sentence that starts with "every". */
  readonly proves: string;
  /** Starts the servers and the AWS emulator, each on free ports and with its own password. */
  start(options: StepOptions & { readonly name: string | undefined }): Promise<RunningSystem>;
}

/** The stores of a system, running. */
export interface RunningSystem {
  readonly stack: Stack<'aws'>;
  /** The target as `cdk.json` has it. */
  readonly target: object;
  /** The connection of each store, in the form of its secret. */
  readonly secrets: Readonly<Partial<Record<'graph' | 'vectors' | 'kv', object>>>;
  /** Throws DemoFailedError if a store is not empty: the demo destroys its data. */
  refuseFilled(): Promise<void>;
  /** Writes the knowledge base into the empty stores. `folder` is for files that are no longer needed afterwards. */
  load(options: LoadOptions): Promise<RecordCounts>;
  /** Damages every store in every way that the proof must detect; returns a description in lines. */
  damage(): Promise<string[]>;
  /** Reads all stores independently; the details are written into this folder. */
  read(folder: string): Promise<Proof>;
}
