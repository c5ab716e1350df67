/** Records that an archive holds twice, of which a restore would write only one, or both at the wrong place. */
import { randomBytes } from 'node:crypto';
import { PutObjectCommand } from '@aws-sdk/client-s3';
import { CreateSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { expect, test } from '@jest/globals';
import { VERSION } from '../../../shared/core/version.ts';
import type { Environment } from '../../../shared/workflows/environment.ts';
import { createJob } from '../../../shared/workflows/job/record.ts';
import { InspectState, inspectArchive } from '../../../shared/workflows/restore/inspect.ts';
import { DRAFT } from '../../archive/build.ts';
import { type Forgery, forge } from '../../archive/forge.ts';
import { servers } from '../../servers.ts';
import { freshEnvironment } from '../../support/aws.ts';
import { admit } from '../../support/restore-records.ts';

const LEG = { timeLeft: () => 60_000, signal: new AbortController().signal };
/** None of these secrets exists, so a step that opens a store fails with another error. */
const TARGETS = {
  graph: { stores: { graph: { kind: 'neo4j', secret: 'none', scope: { label: 'A' } } } },
  vectors: { stores: { vectors: { kind: 'qdrant', secret: 'none', scope: { collections: ['c'] } } } },
  kv: { stores: { kv: { kind: 'redis', secret: 'none', scope: { prefix: 'p:', separator: ':' } } } },
  files: { stores: { kv: { kind: 'files', secret: 'none' } } },
};

const entry = (name: string, ...lines: string[]) => ({
  name,
  data: Buffer.from(lines.map((line) => `${line}\n`).join('')),
});
const json = (value: object) => JSON.stringify(value);
const node = (id: string, name: string) => json({ type: 'node', id, labels: ['A'], properties: { name } });
const point = (id: number) => json({ id, payload: {}, vector: [1, 0] });
const collection = entry(
  'vectors/c.config.json',
  json({
    ...{ entry_version: 1, collection: 'c', method: 'points', reason: 'test', server_version: '1.16.3' },
    config: { params: { vectors: { size: 2, distance: 'Dot' } }, hnsw_config: {}, optimizer_config: {} },
    ...{ payload_indexes: {}, aliases: [], filter: null, chunks: 1, snapshot: null },
    points: { count: 3, digest: '0'.repeat(64), digested: 3 },
  }),
);
/** The lines of the index with one of them repeated. */
const twice: Forgery['indexText'] = (text) => `${text}${text.split('\n')[0]}\n`;

const cases: [string, keyof typeof TARGETS, Forgery, RegExp][] = [
  [
    'two nodes with one id',
    'graph',
    { contents: [entry('graph/nodes-00001.jsonl', node('1', 'a'), node('2', 'b'), node('1', 'c'))] },
    /nodes-00001\.jsonl, line 3: the archive contains another node with the id 1/,
  ],
  [
    'two points with one id',
    'vectors',
    { contents: [entry('vectors/c.points-00001.jsonl', point(1), point(2), point(2)), collection] },
    /points-00001\.jsonl.*not in order of ids/,
  ],
  [
    'two equal keys as JSON',
    'kv',
    { contents: [{ name: 'kv/a.json', data: Buffer.from('{"p:a:1": 1,\n"p:a:2": 2,\n"p:a:1": 1}') }] },
    /kv\/a\.json: the archive contains the key "p:a:1" twice/,
  ],
  [
    'two equal keys of different types',
    'kv',
    {
      contents: [
        { name: 'kv/a.json', data: Buffer.from('{"p:a:1": 1}') },
        entry('kv/a.typed.jsonl', json({ key: 'p:a:1', type: 'set', members: ['x'] })),
      ],
    },
    /kv\/a\.typed\.jsonl: the archive contains the key "p:a:1" twice/,
  ],
  [
    'two files with one name',
    'files',
    { contents: [entry('kv/files/a.json', '{}'), entry('kv/files/b.json', '{}')], indexText: twice },
    /kv\/files\/a\.json|order|twice/,
  ],
  [
    'two files whose names differ only in case',
    'files',
    { contents: [entry('kv/files/A.json', '{}'), entry('kv/files/a.json', '{}')] },
    /differ|case|collide/i,
  ],
];

/** Inspects an archive that was uploaded for a target. */
async function inspect(
  environment: Environment,
  target: keyof typeof TARGETS,
  forgery: Forgery,
): Promise<void> {
  const { bucket } = environment;
  const stores = Object.keys(TARGETS[target].stores);
  const [[store = '', { kind }] = ['', { kind: '' }]] = Object.entries(TARGETS[target].stores);
  const Body = await forge({
    ...forgery,
    manifest: (manifest) => ({
      ...manifest,
      ngbak_version: VERSION,
      storage_backends: { [store]: { kind, version: '5.26.30', edition: 'community' } },
      scope: { ...DRAFT.scope, stores, target },
    }),
  });
  const key = 'backups/x.ngbak';
  await bucket.s3.send(new PutObjectCommand({ Bucket: bucket.name, Key: key, Body }));
  const { job_id } = await admit(environment, { target, stores, source: { bucket: bucket.name, key } });
  const now = new Date().toISOString();
  await createJob(bucket, {
    ...{ job_id, kind: 'restore', target, state: 'processing', execution_arn: 'arn:restore' },
    ...{ created_at: now, updated_at: now },
  } as const);
  let state = InspectState.parse({ job_id });
  while (!state.done) state = InspectState.parse(await inspectArchive(environment, state, LEG));
}

test.each(cases)(
  'an archive with %s is refused before any store is opened',
  async (_what, target, forgery, reason) => {
    const environment = await freshEnvironment(TARGETS);
    await expect(inspect(environment, target, forgery)).rejects.toMatchObject({
      message: expect.stringMatching(reason),
      remedy: expect.stringMatching(/archive|backup/),
    });
  },
);

test('an archive with two nodes whose key a constraint allows only once is refused by the inspection', async () => {
  const { uri, username, password } = servers.neo4j;
  const secret = `graph-${randomBytes(8).toString('hex')}`;
  const SecretString = JSON.stringify({ uri, username, password });
  await new SecretsManagerClient({}).send(new CreateSecretCommand({ Name: secret, SecretString }));
  const label = `Equal${process.pid}`;
  const environment = await freshEnvironment({
    graph: { stores: { graph: { kind: 'neo4j', secret, scope: { label } } } },
  });
  const constraint = json({
    ...{ type: 'constraint', name: 'only_one', kind: 'UNIQUENESS', entity: 'NODE' },
    ...{ tokens: [label], properties: ['name'], config: {} },
  });
  const nodes = ['a', 'b', 'a'].map((name, index) =>
    node(String(index + 1), name).replace('"A"', `"${label}"`),
  );
  const contents = [entry('graph/nodes-00001.jsonl', ...nodes), entry('graph/schema.jsonl', constraint)];
  await expect(inspect(environment, 'graph', { contents })).rejects.toMatchObject({
    message: expect.stringContaining('values that the constraint "only_one" allows only once'),
    remedy: expect.stringContaining('Nothing was changed'),
  });
});
