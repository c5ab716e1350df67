/**
 * Whole jobs on the deployed stack, compared with a script for operators, alternating on one machine:
 *
 *     node local/bootstrap.mjs bench/whole-job.ts [--scale 1] [--rounds 3] [--restores 1] [--only "backup, gzip"]
 *
 * Scale 1 is a knowledge base of 20,000 nodes, 60,000 relationships, 20,000 points of 384 dimensions and 20,000 keys.
 * The script saves the graph with the driver as lines of JSON, the collections as snapshots with curl, the keys with
 * DUMP, and packs everything with `tar -czf`; it verifies nothing. Reports wall time, CPU seconds and peak memory by
 * function and server, bytes that functions transferred, and the phases of the jobs. `--only` measures only the ways whose
 * names start with it. One run of each before the first
 * round is not counted: it starts the processes of the functions, and warms up the servers. Backups read every store,
 * except those called "unchanged": these may carry what provably did not change.
 *
 * NGBAK_LOCAL_JAVA_OPTIONS=-XX:TieredStopAtLevel=4 makes Neo4j compile as in production.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import { SFNClient } from '@aws-sdk/client-sfn';
import prettyBytes from 'pretty-bytes';
import { interruptible } from '../local/interrupt.ts';
import { type Stack, startStack } from '../local/stack.ts';
import { progressOf } from '../test/stack/follow.ts';
import { connectionsOf, deployBench, execute, makeStores } from './bench-target.ts';
import { median } from './median.ts';
import { ProcessUsage, type Usage } from './process-usage.ts';
import { loadSizedTarget, NAMESPACE } from './sized-target.ts';

const SERVER_NAMES = ['Neo4j', 'Qdrant', 'Redis', 'AWS emulator'];

const { values } = parseArgs({
  options: {
    scale: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '3' },
    restores: { type: 'string', default: '1' },
    only: { type: 'string', default: '' },
  },
});

/** One run of one candidate. */
interface Run {
  readonly seconds: number;
  readonly usage: ReadonlyMap<string, Usage>;
  /** CPU seconds of the script itself. */
  readonly scriptSeconds?: number;
  /** Milliseconds by state of the workflow. */
  readonly phases?: ReadonlyMap<string, number>;
  readonly bytes?: number;
}

/** A script for operators: one command after the other. */
const SCRIPT = `set -euo pipefail
cd "$FOLDER"
node "$DUMP" graph > graph.jsonl
for collection in entities chunks; do
  snapshots="$QDRANT_URL/collections/$collection/snapshots"
  name=$(curl -sf -X POST -H "api-key: $QDRANT_KEY" "$snapshots" | sed 's/.*"name":"\\([^"]*\\)".*/\\1/')
  curl -sf -H "api-key: $QDRANT_KEY" -o "$collection.snapshot" "$snapshots/$name"
  curl -sf -X DELETE -o /dev/null -H "api-key: $QDRANT_KEY" "$snapshots/$name"
done
node "$DUMP" keys > keys.jsonl
tar -czf backup.tar.gz graph.jsonl entities.snapshot chunks.snapshot keys.jsonl
times`;

async function runScript(stack: Stack): Promise<Run> {
  const { graph, vectors, kv } = connectionsOf(stack);
  const folder = await mkdtemp(join(tmpdir(), 'ngbak-bench-script-'));
  try {
    const usage = await ProcessUsage.start(stack);
    const start = performance.now();
    const output = await new Promise<string>((resolve, reject) => {
      const child = spawn('bash', ['-c', SCRIPT], {
        stdio: ['ignore', 'pipe', 'inherit'],
        env: {
          PATH: `${join(import.meta.dirname, '..', 'node_modules/.bin')}:${process.env.PATH ?? ''}`,
          FOLDER: folder,
          DUMP: join(import.meta.dirname, 'plain-dump.ts'),
          NEO4J_URI: graph.uri,
          NEO4J_PASSWORD: graph.password,
          QDRANT_URL: vectors.url,
          QDRANT_KEY: vectors.api_key,
          REDIS_URL: kv.url,
          REDIS_PASSWORD: kv.password,
        },
      });
      let text = '';
      child.stdout.on('data', (chunk) => {
        text += chunk;
      });
      child.on('error', reject);
      child.on('close', (code) =>
        code === 0 ? resolve(text) : reject(new Error(`The script ended with ${code}.`)),
      );
    });
    const seconds = (performance.now() - start) / 1000;
    // User and system time of the shell, and below of its children: "0m1.234s 0m0.120s".
    let scriptSeconds = 0;
    for (const [, minutes, rest] of output.matchAll(/(\d+)m([\d.]+)s/g))
      scriptSeconds += Number(minutes) * 60 + Number(rest);
    let raw = 0;
    for (const name of await readdir(folder)) {
      if (!name.endsWith('.tar.gz')) raw += (await stat(join(folder, name))).size;
    }
    return { seconds, usage: await usage.stop(), scriptSeconds, bytes: raw };
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** One execution of a workflow, from its start to its end. */
async function runJob(stack: Stack, sfn: SFNClient, arn: string | undefined, input: object): Promise<Run> {
  const usage = await ProcessUsage.start(stack);
  const start = performance.now();
  const { executionArn = '', status } = await execute(sfn, arn, input);
  const seconds = (performance.now() - start) / 1000;
  const used = await usage.stop();
  if (status !== 'SUCCEEDED') throw new Error(`${executionArn} is ${status}.`);
  const phases = (await progressOf(sfn, executionArn))?.durations ?? new Map<string, number>();
  return { seconds, usage: used, phases };
}

/** The id of the newest backup: ids sort by time. */
async function newestBackup(bucket: string): Promise<string> {
  const { Contents = [] } = await new S3Client({}).send(
    new ListObjectsV2Command({ Bucket: bucket, Prefix: 'backups/' }),
  );
  const ids = Contents.map(({ Key = '' }) => /^backups\/(.*)\.json$/.exec(Key)?.[1] ?? '').sort();
  return ids.at(-1) ?? '';
}

const isServer = (name: string) => SERVER_NAMES.includes(name);

/** CPU seconds of the functions and servers that are selected by name. */
function cpuOf({ usage }: Run, chosen: (name: string) => boolean): number {
  return [...usage].reduce((sum, [name, { cpuSeconds }]) => sum + (chosen(name) ? cpuSeconds : 0), 0);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): void {
  console.log(`\n| ${head.join(' | ')} |`);
  console.log(
    `| --- |${head
      .slice(1)
      .map(() => ' ---: |')
      .join('')}`,
  );
  for (const row of rows) console.log(`| ${row.join(' | ')} |`);
}

function report(ways: ReadonlyMap<string, readonly Run[]>): void {
  const script = ways.get('script') ?? [];
  const figure = (runs: readonly Run[], value: (run: Run) => number) => median(runs.map(value));
  console.log(`\nraw: ${prettyBytes(script[0]?.bytes ?? 0)}`);
  table(
    [
      'way',
      'seconds',
      'compared with the script',
      'CPU: script or functions',
      ...SERVER_NAMES.map((name) => `CPU: ${name}`),
      'moved by functions',
    ],
    [...ways].map(([way, runs]) => {
      // In pairs, because the other load of the machine drifts.
      const ratios = runs.map(({ seconds }, round) => (script[round]?.seconds ?? Number.NaN) / seconds);
      const moved = (run: Run) =>
        [...run.usage].reduce((sum, [name, used]) => sum + (isServer(name) ? 0 : used.movedBytes), 0);
      return [
        way,
        figure(runs, ({ seconds }) => seconds).toFixed(1),
        way === 'script' || way === 'restore' ? '' : `${median(ratios).toFixed(2)} ×`,
        figure(runs, (run) => run.scriptSeconds ?? cpuOf(run, (name) => !isServer(name))).toFixed(1),
        ...SERVER_NAMES.map((server) =>
          figure(runs, (run) => cpuOf(run, (name) => name === server)).toFixed(1),
        ),
        way === 'script' ? '' : prettyBytes(figure(runs, moved)),
      ];
    }),
  );
  for (const [way, runs] of ways) {
    if (way === 'script') continue;
    const names = [...new Set(runs.flatMap(({ usage }) => [...usage.keys()]))].filter(
      (name) => !isServer(name),
    );
    table(
      [`function: ${way}`, 'CPU seconds', 'peak memory', 'moved'],
      names.map((name) => [
        name,
        figure(runs, ({ usage }) => usage.get(name)?.cpuSeconds ?? 0).toFixed(2),
        prettyBytes(Math.max(...runs.map(({ usage }) => usage.get(name)?.peakBytes ?? 0)), { binary: true }),
        prettyBytes(figure(runs, ({ usage }) => usage.get(name)?.movedBytes ?? 0)),
      ]),
    );
    const phases = [...new Set(runs.flatMap(({ phases = new Map<string, number>() }) => [...phases.keys()]))];
    table(
      [`phase: ${way}`, 'seconds'],
      phases.map((phase) => [phase, figure(runs, (run) => (run.phases?.get(phase) ?? 0) / 1000).toFixed(2)]),
    );
  }
}

await interruptible(async (signal) => {
  const stack = await startStack({
    signal,
    environment: { ...process.env, EMULATOR_NODE_COMMAND_LINE: 'lambda' },
    onProgress: ({ service, text }) => console.error(`${service}: ${text}`),
  });
  try {
    Object.assign(process.env, stack.aws.env);
    const stores = await makeStores(stack);
    const target = { profile: 'ngraf-023', parameters: { namespace: NAMESPACE }, stores };
    const outputs = await deployBench(stack, target, signal);
    console.error('loading the knowledge base');
    await loadSizedTarget(connectionsOf(stack), Number(values.scale), signal);
    const sfn = new SFNClient({});
    const backup = (codec: string, full = true) =>
      runJob(stack, sfn, outputs.BackupStateMachineArn, { codec, full, retention: '1d' });
    const ways: Record<string, () => Promise<Run>> = {
      script: () => runScript(stack),
      'backup, gzip': () => backup('gzip'),
      'backup, zstd': () => backup('zstd'),
      'backup, gzip, unchanged': () => backup('gzip', false),
    };
    const results = new Map<string, Run[]>();
    for (let round = 0; round <= Number(values.rounds); round++) {
      for (const [way, run] of Object.entries(ways)) {
        if (!way.startsWith(values.only)) continue;
        const result = await run();
        console.error(`${way}: ${result.seconds.toFixed(1)} s`);
        if (round > 0) results.set(way, [...(results.get(way) ?? []), result]);
      }
    }
    for (let round = 0; round < Number(values.restores); round++) {
      const input = { backup_id: await newestBackup(outputs.BucketName ?? ''), confirm: 'default' };
      const result = await runJob(stack, sfn, outputs.RestoreStateMachineArn, input);
      console.error(`restore: ${result.seconds.toFixed(1)} s`);
      results.set('restore', [...(results.get('restore') ?? []), result]);
    }
    report(results);
  } finally {
    await stack.stop();
  }
});
