/**
 * Peak resident memory of each exporter at scale 1 and at scale 10 of the demo's knowledge base, each exporter in a
 * process of its own: `node local/bootstrap.mjs bench/exporter-memory.ts [--scales 1,10]`. The design says that memory
 * is a constant: the ratio should be near 1.
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { CreateSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import prettyBytes from 'pretty-bytes';
import { loadKnowledgeBase } from '../local/knowledge-base/load.ts';
import { startStack } from '../local/stack.ts';

const STORES = ['graph', 'vectors', 'kv'] as const;
const { values } = parseArgs({ options: { scales: { type: 'string', default: '1,10' } } });
const scales = values.scales.split(',').map(Number);

const abort = new AbortController();
process.once('SIGINT', () => abort.abort());
const stack = await startStack({
  name: `bench-${process.pid}`,
  signal: abort.signal,
  onProgress: console.error,
});
try {
  Object.assign(process.env, stack.aws.env);
  const secrets = {
    graph: stack.neo4j,
    vectors: { url: stack.qdrant.url, api_key: stack.qdrant.apiKey },
    kv: { url: stack.redis.url, password: stack.redis.password },
  };
  const bucket = 'bench-archives';
  await new S3Client({}).send(new CreateBucketCommand({ Bucket: bucket }));
  for (const store of STORES) {
    await new SecretsManagerClient({}).send(
      new CreateSecretCommand({ Name: `bench-${store}`, SecretString: JSON.stringify(secrets[store]) }),
    );
  }
  const kinds = { graph: 'neo4j', vectors: 'qdrant', kv: 'redis' };
  const stores = Object.fromEntries(
    STORES.map((store) => [store, { kind: kinds[store], secret: `bench-${store}` }]),
  );
  process.env.NGBAK_BUCKET = bucket;
  process.env.NGBAK_CONFIG = JSON.stringify({
    targets: { default: { profile: 'ngraf-023', parameters: { namespace: 'bench' }, stores } },
  });

  const peaks = new Map<string, number[]>();
  for (const scale of scales) {
    console.error(`Loading the knowledge base at scale ${scale} …`);
    await loadKnowledgeBase({
      neo4j: secrets.graph,
      qdrant: secrets.vectors,
      redis: secrets.kv,
      namespace: 'bench',
      scale,
    });
    const execution = {
      name: `scale-${scale}`,
      arn: `arn:aws:states:${stack.aws.region}:${stack.aws.accountId}:execution:bench:scale-${scale}`,
      start: new Date().toISOString(),
    };
    const planned = await runStep('plan-backup', { input: {}, execution });
    for (const store of STORES) {
      let peak = 0;
      for (let state of planned.output[store] as { done: boolean }[]) {
        while (!state.done) {
          const leg = await runStep(`export-${store}`, state);
          peak = Math.max(peak, leg.peak_bytes);
          state = leg.output as unknown as { done: boolean };
        }
      }
      peaks.set(store, [...(peaks.get(store) ?? []), peak]);
    }
  }
  console.log(`| exporter | ${scales.map((scale) => `scale ${scale}`).join(' | ')} | ratio |`);
  console.log(`| --- |${scales.map(() => ' ---: |').join('')} ---: |`);
  for (const [store, sizes] of peaks) {
    const told = sizes.map((size) => prettyBytes(size, { binary: true })).join(' | ');
    console.log(`| ${store} | ${told} | ${((sizes.at(-1) ?? 0) / (sizes[0] ?? 1)).toFixed(2)} |`);
  }
} finally {
  await stack.stop();
}

function runStep(
  name: string,
  event: object,
): Promise<{ output: Record<string, unknown>; peak_bytes: number }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [fileURLToPath(new URL('run-step.ts', import.meta.url)), name], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let text = '';
    child.stdout.on('data', (chunk) => {
      text += chunk;
    });
    child.on('error', reject);
    child.on('close', (code) => {
      const last = text.trim().split('\n').at(-1) ?? '';
      if (code === 0) resolve(JSON.parse(last));
      else reject(new Error(`${name} ended with ${code}: ${text}`));
    });
    child.stdin.end(JSON.stringify(event));
  });
}
