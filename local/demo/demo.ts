import { randomBytes } from 'node:crypto';
import { openAsBlob } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { PutSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { SFNClient, StartExecutionCommand } from '@aws-sdk/client-sfn';
import pc from 'picocolors';
import prettyBytes from 'pretty-bytes';
import type { BackupResult } from '../../shared/backup/record.ts';
import { Bucket } from '../../shared/bucket/bucket.ts';
import type { RestoreResult } from '../../shared/restore/close.ts';
import { createRestoreRequest } from '../../shared/restore/request.ts';
import { deployStack } from '../deploy.ts';
import { ngraf023Layout } from '../knowledge-base/layout.ts';
import { type Connections, type LoadProgress, loadKnowledgeBase } from '../knowledge-base/load.ts';
import { compareProofs, type Proof, readEverything } from '../proof/proof.ts';
import { type Stack, startStack } from '../stack.ts';
import { downloadArchive, showArchive } from './archive.ts';
import { damageEverything } from './damage.ts';
import { DemoFailedError, followExecution, followRestore } from './follow.ts';
import { nextSteps } from './next-steps.ts';
import type { DemoOptions } from './options.ts';
import { proofTable } from './report.ts';
import { alignColumns, bar, formatCount, formatDuration, type Screen, type StepView } from './screen.ts';

/** The knowledge base is called so: label `GraphRAG_demo`. */
const NAMESPACE = 'demo';
/** The configured target, and what confirms that it may be overwritten. */
const TARGET = 'default';
/** Name of the CloudFormation stack. */
const STACK = 'Ngbak';
/** Differences that are shown after the damage. */
const SAMPLES = 5;

/** What `--json` prints. Durations are in seconds. */
export interface DemoResult {
  readonly identical: boolean;
  readonly backup_id: string;
  readonly archive_bytes: number;
  readonly things_compared: number;
  readonly differences_after_damage: number;
  readonly differences_after_restore: number;
  readonly seconds: Readonly<Record<string, number>>;
}

interface Surroundings {
  readonly screen: Screen;
  /** A folder for what the demo downloads and notes; the caller removes it. */
  readonly folder: string;
  readonly signal: AbortSignal;
}

/** The whole demo, from nothing to the proof. Leaves nothing running, unless it is told to. */
export async function runDemo(options: DemoOptions, surroundings: Surroundings): Promise<DemoResult> {
  const { screen } = surroundings;
  screen.print(
    `\n${pc.bold('ngbak')}  A real knowledge base: backed up, destroyed, brought back, and proved.`,
  );
  const clock = new Clock();
  const stack = await clock.measure('start', () => start(options, surroundings));
  let kept = false;
  try {
    const result = await new Demo(stack, options, surroundings, clock).run();
    if (options.keep) await stack.keep();
    kept = options.keep;
    return result;
  } finally {
    if (!kept) await screen.step('Stop everything and remove it', () => stack.stop());
  }
}

function start(options: DemoOptions, { screen, signal }: Surroundings): Promise<Stack> {
  return screen.step('Start Neo4j, Qdrant, Redis and an AWS emulator', async (view) => {
    const states = new Map<string, string>();
    const stack = await startStack({
      ...(options.name === undefined ? {} : { name: options.name }),
      signal,
      onProgress: ({ service, text }) => {
        states.set(service, text);
        view.live(alignColumns([...states], 2));
        view.log(`${service}: ${text}`);
      },
    });
    const addresses = [
      ['Neo4j', stack.neo4j.uri],
      ['Qdrant', stack.qdrant.url],
      ['Redis', stack.redis.url],
      ['AWS', stack.aws.endpoint],
    ];
    for (const line of alignColumns(addresses, 2)) view.line(line);
    return stack;
  });
}

/** Ends as soon as the signal does, whatever the work is waiting for. */
async function interruptible<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([work(), aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/** How long the parts of the demo took. */
class Clock {
  readonly seconds: Record<string, number> = {};

  async measure<T>(name: string, work: () => Promise<T>): Promise<T> {
    const started = Date.now();
    const result = await work();
    this.seconds[name] = (Date.now() - started) / 1000;
    return result;
  }
}

class Demo {
  readonly #stack: Stack;
  readonly #options: DemoOptions;
  readonly #screen: Screen;
  readonly #folder: string;
  readonly #signal: AbortSignal;
  readonly #clock: Clock;
  readonly #connections: Connections;
  readonly #layout = ngraf023Layout(NAMESPACE);

  constructor(stack: Stack, options: DemoOptions, surroundings: Surroundings, clock: Clock) {
    this.#stack = stack;
    this.#options = options;
    this.#screen = surroundings.screen;
    this.#folder = surroundings.folder;
    this.#signal = surroundings.signal;
    this.#clock = clock;
    this.#connections = {
      // Field by field: the adapters refuse a secret that holds anything else.
      neo4j: {
        uri: stack.neo4j.uri,
        username: stack.neo4j.username,
        password: stack.neo4j.password,
      },
      qdrant: { url: stack.qdrant.url, api_key: stack.qdrant.apiKey },
      redis: { url: stack.redis.url, password: stack.redis.password },
    };
  }

  async run(): Promise<DemoResult> {
    const outputs = await this.#step('deploy', 'Deploy the CDK stack', (view) => this.#deploy(view));
    const bucket = new Bucket(output(outputs, 'BucketName'));
    const sfn = new SFNClient({});
    const counts = await this.#step('load', 'Load the knowledge base of the installed npm packages', (view) =>
      this.#load(view),
    );
    const before = await this.#step('read', 'Read all three stores, independently, for the proof', (view) =>
      this.#prove('before', view),
    );
    const backup = await this.#step('backup', 'Back up, through Step Functions', (view) =>
      this.#backUp({ sfn, bucket }, output(outputs, 'BackupStateMachineArn'), view),
    );
    const path = await this.#step('open', 'Open the archive with nothing but tar', async (view) => {
      const file = await downloadArchive(bucket, backup.backup_id, this.#folder, this.#signal);
      await showArchive(file, this.#folder, view, this.#signal);
      return file;
    });
    const damaged = await this.#step('damage', 'Damage all three stores', (view) =>
      this.#damage(before, view),
    );
    await this.#step('restore', 'Restore, by an upload to a presigned URL', (view) =>
      this.#restore(bucket, path, view),
    );
    const after = await this.#step('prove', 'Read all three stores again, and compare', () =>
      this.#read('after'),
    );
    const comparison = await compareProofs(before, after, SAMPLES);
    const bytes = (await stat(path)).size;
    const things = Object.values(before.parts).reduce((sum, part) => sum + part.count, 0);

    this.#screen.print();
    for (const line of proofTable(before, damaged.proof, after)) this.#screen.print(`   ${line}`);
    this.#screen.print();
    if (comparison.identical) {
      this.#screen.print(
        `${pc.green('✔')}  ${pc.bold(`All ${formatCount(things)} things are back, exactly as they were`)}: every node, ` +
          'relationship, property,\n   vector, payload, key, value, expiry time, constraint and index.',
      );
    } else {
      this.#screen.print(`${pc.red('✘')}  ${pc.bold(`${formatCount(comparison.total)} things differ.`)}`);
      for (const { part, thing, problem } of comparison.differences)
        this.#screen.print(`   ${part}: ${thing} ${problem}`);
    }
    const { seconds } = this.#clock;
    for (const line of alignColumns(
      [
        [
          'Knowledge base',
          `${formatCount(counts.entities)} entities, ${formatCount(counts.relationships)} relationships`,
        ],
        ['Archive', `${prettyBytes(bytes)}, ${backup.backup_id}.ngbak`],
        ['Backup', `${formatDuration((seconds.backup ?? 0) * 1000)}, read back and verified`],
        ['Restore', `${formatDuration((seconds.restore ?? 0) * 1000)}, with a safety backup before it`],
      ],
      2,
    )) {
      this.#screen.print(`   ${line}`);
    }
    if (this.#options.keep) this.#screen.print(nextSteps(this.#stack, outputs, backup.backup_id));
    return {
      identical: comparison.identical,
      backup_id: backup.backup_id,
      archive_bytes: bytes,
      things_compared: things,
      differences_after_damage: damaged.total,
      differences_after_restore: comparison.total,
      seconds,
    };
  }

  #step<T>(name: string, title: string, work: (view: StepView) => Promise<T>): Promise<T> {
    this.#signal.throwIfAborted();
    return this.#clock.measure(name, () =>
      this.#screen.step(title, (view) => interruptible(this.#signal, () => work(view))),
    );
  }

  async #deploy(view: StepView): Promise<Record<string, string>> {
    Object.assign(process.env, this.#stack.aws.env);
    const stores = { graph: { kind: 'neo4j' }, vectors: { kind: 'qdrant' }, kv: { kind: 'redis' } };
    const outputs = await deployStack(this.#stack.aws, {
      stackName: STACK,
      folder: this.#stack.folder,
      signal: this.#signal,
      onProgress: (text) => {
        view.live([pc.dim(text)]);
        view.log(text);
      },
      context: {
        ngbak: {
          stackName: STACK,
          targets: { [TARGET]: { profile: 'ngraf-023', parameters: { namespace: NAMESPACE }, stores } },
          schedule: { enabled: false },
        },
      },
    });
    const secrets = new SecretsManagerClient({});
    const fill = (name: string, value: object) =>
      secrets.send(
        new PutSecretValueCommand({ SecretId: output(outputs, name), SecretString: JSON.stringify(value) }),
      );
    await fill('GraphSecretArn', this.#connections.neo4j);
    await fill('VectorsSecretArn', this.#connections.qdrant);
    await fill('KvSecretArn', this.#connections.redis);
    view.line(`bucket ${output(outputs, 'BucketName')}`);
    view.line('a Lambda function for each step, two Step Functions workflows, a secret for each store');
    return outputs;
  }

  /** The demo destroys what the stores hold, and an address in the environment may lead to somebody's data. */
  async #refuseFilledStores(): Promise<void> {
    const { parts } = await this.#read('found');
    const filled = Object.keys(parts).filter((part) => !['indexes', 'constraints'].includes(part));
    if (filled.length === 0) return;
    throw new DemoFailedError(`The stores are not empty: there are ${filled.join(', ')}.`, {
      remedy: 'Unset NEO4J_URI, QDRANT_URL and REDIS_URL, so that the demo starts servers of its own.',
    });
  }

  async #load(view: StepView) {
    await this.#refuseFilledStores();
    const units = new Map<string, LoadProgress>();
    const counts = await loadKnowledgeBase({
      ...this.#connections,
      namespace: NAMESPACE,
      scale: this.#options.scale,
      signal: this.#signal,
      onProgress: (progress) => {
        units.set(progress.unit, progress);
        view.live(
          alignColumns(
            [...units.values()].map(({ store, unit, done, total }) => [
              store,
              bar(done, total),
              `${formatCount(done)} ${unit}`,
            ]),
            3,
          ),
        );
      },
    });
    view.line(
      `${formatCount(counts.documents)} READMEs in ${formatCount(counts.chunks)} chunks, written as the NGRAF-023 fork writes its own:`,
    );
    view.line(
      `Neo4j   ${formatCount(counts.entities)} nodes, ${formatCount(counts.relationships)} relationships`,
    );
    view.line(`Qdrant  ${formatCount(counts.points)} points with dense and sparse vectors`);
    view.line(`Redis   ${formatCount(counts.keys)} keys`);
    return counts;
  }

  #read(name: string): Promise<Proof> {
    return readEverything(this.#connections, { folder: join(this.#folder, name) });
  }

  async #prove(name: string, view: StepView): Promise<Proof> {
    const proof = await this.#read(name);
    const things = Object.values(proof.parts).reduce((sum, part) => sum + part.count, 0);
    const fields = Object.values(proof.parts)
      .flatMap((part) => Object.values(part.aspects))
      .reduce((sum, aspect) => sum + aspect.count, 0);
    view.line(
      `${formatCount(things)} things with ${formatCount(fields)} fields, digested by a reader that shares no code with ngbak`,
    );
    return proof;
  }

  async #backUp(clients: { sfn: SFNClient; bucket: Bucket }, machine: string, view: StepView) {
    const jobId = `demo-${randomBytes(4).toString('hex')}`;
    const { executionArn } = await clients.sfn.send(
      new StartExecutionCommand({ stateMachineArn: machine, name: jobId, input: '{"note":"npm run demo"}' }),
    );
    const result = await followExecution(clients, { arn: executionArn ?? '', jobId }, view, this.#signal);
    const backup = result as BackupResult;
    const statistics = Object.entries(backup.statistics).map(
      ([name, count]) => `${formatCount(count)} ${name}`,
    );
    view.line(statistics.join(', '));
    view.line(`${backup.archive}  ${prettyBytes(backup.bytes)}`);
    view.line(`checksum ${backup.checksum}`);
    view.line(`consistency: ${backup.consistency}; read back from S3 and verified`);
    return backup;
  }

  async #damage(before: Proof, view: StepView): Promise<{ proof: Proof; total: number }> {
    for (const line of await damageEverything(this.#connections, this.#layout)) view.line(line);
    const proof = await this.#read('damaged');
    const { total, identical, differences } = await compareProofs(before, proof, SAMPLES);
    if (identical) {
      throw new DemoFailedError('The proof found no difference after all three stores were damaged.', {
        remedy: 'The proof is broken: nothing that it says can be believed.',
      });
    }
    view.line(
      pc.red(`The proof fails: ${formatCount(total)} things are missing, changed or too much, such as`),
    );
    for (const { part, thing, problem } of differences) {
      view.line(pc.dim(`  ${part}: ${thing.slice(0, 60)} ${problem}`));
    }
    return { proof, total };
  }

  async #restore(bucket: Bucket, path: string, view: StepView): Promise<void> {
    const upload = await createRestoreRequest(bucket, {
      target: TARGET,
      fileName: path.slice(path.lastIndexOf('/') + 1),
      confirm: TARGET,
      requestedBy: 'npm run demo',
    });
    const { method, url, headers } = upload.put;
    const answer = await fetch(url, { method, headers, body: await openAsBlob(path), signal: this.#signal });
    if (!answer.ok) {
      throw new DemoFailedError(
        `S3 refused the upload: ${answer.status} ${(await answer.text()).slice(0, 300)}`,
        {
          remedy: 'See the log of the AWS emulator.',
        },
      );
    }
    view.line(`uploaded to ${upload.key}`);
    const job = await followRestore(bucket, upload.job_id, view, this.#signal);
    view.line('inspected as a whole, target saved, cleared, loaded, then compared record by record:');
    const { stores } = job.result as unknown as RestoreResult;
    const rows = Object.entries(stores).map(([store, { read_back }]) => [store, formatTallies(read_back)]);
    for (const line of alignColumns(rows, 2)) view.line(line);
  }
}

/** `1,522 nodes, 3,415 relationships`. */
function formatTallies(tallies: RestoreResult['stores'][string]['read_back']): string {
  return Object.entries(tallies)
    .map(([name, { count }]) => {
      const [unit, of] = name.split(':');
      return of === undefined ? `${formatCount(count)} ${unit}` : `${formatCount(count)} ${unit} of ${of}`;
    })
    .join(', ');
}

function output(outputs: Readonly<Record<string, string>>, name: string): string {
  const value = outputs[name];
  if (value !== undefined) return value;
  throw new DemoFailedError(`The deployed stack has no output ${name}.`, { remedy: 'See infra/stack.ts.' });
}
