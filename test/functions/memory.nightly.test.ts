import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { CreateSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { peakOfExport, runStep } from '../../bench/step-process.ts';
import { type Bundles, bundleFunctions } from '../../infra/bundle.ts';
import { DATA_MB } from '../../infra/functions.ts';
import { lambdaCommandLine, PROCESS_SETTINGS } from '../../infra/process-settings.ts';
import { drawBlueprint } from '../../local/knowledge-base/blueprint.ts';
import { loadKnowledgeBase } from '../../local/knowledge-base/load.ts';
import { readInstalledPackages } from '../../local/knowledge-base/packages.ts';
import { ownLayout, removeKnowledgeBase } from '../knowledge-base/small.ts';
import { servers } from '../servers.ts';

/**
 * Each leg runs in a separate process, from the deployed bundle, with the command line that Lambda's runtime gives Node
 * for the memory of the function.
 */

/** Allowed growth of the peak with ten times the data. Runs differ by a tenth. */
const RATIO_MAX = 1.3;
const SCALE = 10;
const STORES = ['graph', 'vectors', 'kv'] as const;
const MEMORY = { commandLine: lambdaCommandLine(DATA_MB) };

const layout = ownLayout();
const own = randomBytes(4).toString('hex');
const bucket = `memory-${own}`;
const { uri, username, password } = servers.neo4j;
const connections = {
  neo4j: { uri, username, password },
  qdrant: { url: servers.qdrant.url, api_key: servers.qdrant.apiKey },
  redis: { url: servers.redis.url, password: servers.redis.password },
};
const SETTINGS = {
  graph: { kind: 'neo4j', connection: connections.neo4j, scope: { label: layout.label, key_property: 'id' } },
  vectors: {
    kind: 'qdrant',
    connection: connections.qdrant,
    scope: { collections: Object.values(layout.collections) },
  },
  kv: { kind: 'redis', connection: connections.redis, scope: { prefix: `${layout.keyPrefix}:` } },
};
let folder: string;
let bundles: Bundles;
let env: Record<string, string>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ngbak-memory-'));
  bundles = bundleFunctions(folder);
  await new S3Client({}).send(new CreateBucketCommand({ Bucket: bucket }));
  const secrets = new SecretsManagerClient({});
  const stores: Record<string, object> = {};
  for (const store of STORES) {
    const { kind, connection, scope } = SETTINGS[store];
    const secret = `memory-${own}-${store}`;
    await secrets.send(new CreateSecretCommand({ Name: secret, SecretString: JSON.stringify(connection) }));
    stores[store] = { kind, secret, scope };
  }
  env = {
    NGBAK_BUCKET: bucket,
    NGBAK_CONFIG: JSON.stringify({ targets: { default: { stores } } }),
    ...PROCESS_SETTINGS,
  };
});

afterAll(async () => {
  await removeKnowledgeBase(connections, layout);
  await rm(folder, { recursive: true });
});

async function load(scale: number): Promise<void> {
  const blueprint = await drawBlueprint(readInstalledPackages());
  await loadKnowledgeBase({ ...connections, namespace: own, layout, blueprint, scale });
}

/** Peak memory of the exporter of each store, in MiB. */
async function peaks(name: string): Promise<Map<string, number>> {
  const execution = {
    name,
    arn: `arn:aws:states:us-east-1:000000000000:execution:memory:${name}`,
    start: new Date().toISOString(),
  };
  const planned = await runStep(bundles, 'plan-backup', { input: {}, execution }, { env, ...MEMORY });
  const found = new Map<string, number>();
  for (const store of STORES) {
    const peak = await peakOfExport(planned.output[store] as { done: boolean }[], (state) =>
      runStep(bundles, `export-${store}`, state, { env, ...MEMORY }),
    );
    found.set(store, peak / 1024 ** 2);
  }
  return found;
}

test(`exporters need the same memory for ${SCALE} times the data, with the command line of Lambda's runtime`, async () => {
  await load(1);
  const small = await peaks(`small-${own}`);
  await load(SCALE);
  const large = await peaks(`large-${own}`);
  expect([...large.keys()]).toEqual([...STORES]);
  for (const [store, peak] of large) {
    const ratio = peak / (small.get(store) ?? 0);
    expect(ratio < RATIO_MAX ? store : `${store} needs ${ratio.toFixed(2)} times the memory`).toBe(store);
    // Far below the memory of the function: the rest of its sandbox needs some as well.
    expect(peak).toBeLessThan(DATA_MB / 4);
  }
});
