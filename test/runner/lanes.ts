import { cp, readFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { CloudFormationClient } from '@aws-sdk/client-cloudformation';
import { installAwsCli } from '../../local/install/python.ts';
import { recordedCallsOf } from '../../local/services/aws.ts';
import { DEFAULT_SERVICES } from '../../local/services/service.ts';
import { type Stack, startStack } from '../../local/stack.ts';
import { refuseForeignData } from '../foreign-data.ts';
import { STACK_NAME } from '../stack/context.ts';
import { addressesAsEnvironment, deployTestStack, testContext } from '../stack/deploy.ts';
import { cachedAssembly } from './assembly.ts';
import { physicalIds, readRecordedCalls, SynthesizedPolicies } from './recorded-calls.ts';

/** The environment with the addresses of servers for one test file at a time. */
export type Lane = Readonly<Record<string, string>>;

/** Starts lanes of servers, and ends all of them. */
export class Lanes {
  readonly #signal: AbortSignal;
  readonly #nightly: boolean;
  readonly #folder: string;
  readonly #stacks: Stack[] = [];
  readonly #deployed: Stack[] = [];
  /** Resolves when the first stack has installed the shared dependencies. */
  #installed: Promise<void> | undefined;
  /** One synthesis for all lanes. */
  #assembly: Promise<string> | undefined;

  constructor(options: {
    readonly signal: AbortSignal;
    /** With the delays of production. */
    readonly nightly: boolean;
    /** For the log of the synthesis. */
    readonly folder: string;
  }) {
    this.#signal = options.signal;
    this.#nightly = options.nightly;
    this.#folder = options.folder;
  }

  /** Starts real servers. */
  async start(onProgress: (text: string) => void): Promise<Lane> {
    return addressesAsEnvironment(await this.#startStack(onProgress));
  }

  /** Starts real servers, deploys the stack, and puts the AWS CLI first on the PATH. */
  async startDeployed(onProgress: (text: string) => void): Promise<Lane> {
    const [stack, assembly_] = await Promise.all([
      this.#startStack(onProgress),
      this.#synthesize(onProgress),
    ]);
    const signal = this.#signal;
    // A copy: the CDK CLI writes into what it deploys.
    const assembly = join(stack.folder, 'cdk.out', 'assembly');
    const [cli] = await Promise.all([
      installAwsCli({
        environment: process.env,
        signal,
        log: join(stack.logs, 'awscli.log'),
        onInstall: (what) => onProgress(`installing ${what}`),
      }),
      cp(assembly_, assembly, { recursive: true }),
    ]);
    this.#deployed.push(stack);
    const deployed = await deployTestStack(stack, { signal, onProgress, assembly, nightly: this.#nightly });
    return {
      ...addressesAsEnvironment(stack),
      ...deployed,
      PATH: `${cli}${delimiter}${process.env.PATH ?? ''}`,
    };
  }

  /**
   * Evaluates every call that functions and the CLI made in the deployed stacks, and those that services make for them,
   * against the policies of the template. Returns the number of different calls, and those that no policy allows.
   */
  async evaluateCalls(): Promise<{ calls: number; refused: string[] }> {
    const refused = new Set<string>();
    let calls = 0;
    for (const stack of this.#deployed) {
      const { endpoint, region, accountId, env } = stack.aws;
      const client = new CloudFormationClient({
        endpoint,
        region,
        credentials: {
          accessKeyId: env.AWS_ACCESS_KEY_ID ?? '',
          secretAccessKey: env.AWS_SECRET_ACCESS_KEY ?? '',
        },
      });
      const template = join(stack.folder, 'cdk.out', 'assembly', `${STACK_NAME}.template.json`);
      const policies = new SynthesizedPolicies(
        JSON.parse(await readFile(template, 'utf8')),
        await physicalIds(client, STACK_NAME),
        { region, account: accountId },
      );
      for (const call of await readRecordedCalls(recordedCallsOf(stack))) {
        calls++;
        const why = await policies.refusal(call);
        if (why !== undefined) refused.add(why);
      }
      for (const call of policies.serviceCalls()) {
        calls++;
        const why = await policies.refusalOfService(call);
        if (why !== undefined) refused.add(why);
      }
      client.destroy();
    }
    return { calls, refused: [...refused].sort() };
  }

  async stop(): Promise<void> {
    await Promise.all(this.#stacks.map((stack) => stack.stop()));
  }

  async #startStack(onProgress: (text: string) => void): Promise<Stack> {
    const { promise, resolve } = Promise.withResolvers<void>();
    if (this.#installed === undefined) this.#installed = promise;
    else await this.#installed;
    const past = new Set<string>();
    try {
      const stack = await startStack({
        signal: this.#signal,
        // State machines wait a quarter of the time between attempts; in the nightly run, all of it.
        environment: {
          EMULATOR_NODE_COMMAND_LINE: 'lambda',
          ...(this.#nightly ? {} : { SFN_WAIT_SCALE: '0.25' }),
          ...process.env,
        },
        onProgress: ({ service, text }) => {
          onProgress(`${service}: ${text}`);
          if (!text.startsWith('installing')) past.add(service);
          if (past.size === DEFAULT_SERVICES.length) resolve();
        },
      });
      this.#stacks.push(stack);
      await refuseForeignData(stack);
      return stack;
    } finally {
      resolve();
    }
  }

  #synthesize(onProgress: (text: string) => void): Promise<string> {
    if (this.#assembly === undefined) {
      onProgress('synthesizing');
      this.#assembly = cachedAssembly({
        context: testContext(this.#nightly),
        folder: this.#folder,
        signal: this.#signal,
      });
    }
    return this.#assembly;
  }
}
