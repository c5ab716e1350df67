/**
 * Peak resident memory of each exporter at increasing scales of the demo's knowledge base, each leg in a separate
 * process, with the deployed bundles and process settings: `node local/bootstrap.mjs bench/exporter-memory.ts
 * [--scales 1,10] [--runs 5] [--lambda-memory 3008]`. By design, memory is constant: the ratio should be near 1. Runs
 * vary by a tenth, depending on when garbage is collected, so the median is reported.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import prettyBytes from 'pretty-bytes';
import { bundleFunctions } from '../infra/bundle.ts';
import { lambdaCommandLine, PROCESS_SETTINGS } from '../infra/process-settings.ts';
import { interruptible } from '../local/interrupt.ts';
import { loadKnowledgeBase } from '../local/knowledge-base/load.ts';
import { startStack } from '../local/stack.ts';
import { connectionsOf, makeStores, STORES } from './bench-target.ts';
import { median } from './median.ts';
import { peakOfExport, runStep } from './step-process.ts';

const BUCKET = 'bench-archives';

const { values } = parseArgs({
  options: {
    scales: { type: 'string', default: '1,10' },
    runs: { type: 'string', default: '5' },
    'lambda-memory': { type: 'string' },
  },
});
const scales = values.scales.split(',').map(Number);
const runs = Number(values.runs);
/** Node's command line as set by Lambda's runtime, if a memory size in MB was given. */
const commandLine =
  values['lambda-memory'] === undefined ? [] : lambdaCommandLine(Number(values['lambda-memory']));

await interruptible(async (signal) => {
  const folder = await mkdtemp(join(tmpdir(), 'ngbak-bench-'));
  const stack = await startStack({
    signal,
    onProgress: ({ service, text }) => console.error(`${service}: ${text}`),
  });
  try {
    const bundles = bundleFunctions(folder);
    Object.assign(process.env, stack.aws.env);
    await new S3Client({}).send(new CreateBucketCommand({ Bucket: BUCKET }));
    const stores = await makeStores(stack);
    const targets = { default: { profile: 'ngraf-023', parameters: { namespace: 'bench' }, stores } };
    const env = { NGBAK_BUCKET: BUCKET, NGBAK_CONFIG: JSON.stringify({ targets }), ...PROCESS_SETTINGS };

    const peaks = new Map<string, number[]>();
    for (const scale of scales) {
      console.error(`loading the knowledge base at scale ${scale}`);
      const { graph: neo4j, vectors: qdrant, kv: redis } = connectionsOf(stack);
      await loadKnowledgeBase({ neo4j, qdrant, redis, namespace: 'bench', scale, signal });
      const found: Record<(typeof STORES)[number], number[]> = { graph: [], vectors: [], kv: [] };
      for (let run = 1; run <= runs; run++) {
        console.error(`run ${run} of ${runs}`);
        const name = `scale-${scale}-run-${run}`;
        const arn = `arn:aws:states:${stack.aws.region}:${stack.aws.accountId}:execution:bench:${name}`;
        // Names of backups contain the second of the start.
        const start = new Date(Date.now() - run * 1000).toISOString();
        const event = { input: {}, execution: { name, arn, start } };
        const planned = await runStep(bundles, 'plan-backup', event, { env, commandLine });
        for (const store of STORES) {
          const peak = await peakOfExport(planned.output[store] as { done: boolean }[], (state) =>
            runStep(bundles, `export-${store}`, state, { env, commandLine }),
          );
          console.error(`${store}: ${prettyBytes(peak, { binary: true })}`);
          found[store].push(peak);
        }
      }
      for (const store of STORES) peaks.set(store, [...(peaks.get(store) ?? []), median(found[store])]);
    }
    console.log(`| exporter | ${scales.map((scale) => `scale ${scale}`).join(' | ')} | ratio |`);
    console.log(`| --- |${scales.map(() => ' ---: |').join('')} ---: |`);
    for (const [store, sizes] of peaks) {
      const formatted = sizes.map((size) => prettyBytes(size, { binary: true })).join(' | ');
      console.log(`| ${store} | ${formatted} | ${((sizes.at(-1) ?? 0) / (sizes[0] ?? 1)).toFixed(2)} |`);
    }
  } finally {
    await stack.stop();
    await rm(folder, { recursive: true, force: true });
  }
});
