import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, DeleteBucketCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { openArchive } from '../../shared/archive/read/open.ts';
import { bufferSource } from '../../shared/archive/read/sources.ts';
import { Bucket } from '../../shared/aws/bucket.ts';
import { catalogKey } from '../../shared/aws/keys.ts';
import { CatalogRecord } from '../../shared/catalog/record.ts';
import { readInspection } from '../../shared/workflows/restore/inspection.ts';
import { findSafetyBackup } from '../../shared/workflows/restore/safety.ts';
import { buildArchive, DRAFT, readAll } from '../archive/build.ts';
import { servers } from '../servers.ts';
import { type PythonClient, pythonClient } from '../stores/clients/python-client.ts';
import {
  fillTarget,
  type Names,
  OPTIONS,
  readTarget,
  removeTarget,
  SCRATCH,
  withClients,
} from './content.ts';
import { SETTINGS, SYSTEM_VERSION } from './context.ts';
import { deployedStack } from './harness.ts';

const COPY: Names = { label: 'OptionsCopy', collection: 'options_copy', prefix: 'options-copy:' };
const RENAME = {
  label: COPY.label,
  key_prefix: COPY.prefix,
  collections: { [OPTIONS.collection]: COPY.collection },
};

/** Nodes, relationships, points and keys that {@link fillTarget} creates. */
const RECORDS = 20 + 19 + 20 + 22;
let backupId: string;
/** The contents of the target when it was backed up. */
let original: string;

/** The contents of a target, without its own names. */
async function bare(names: Names): Promise<string> {
  const text = JSON.stringify(await readTarget(names));
  return text.replaceAll(`"${names.label}"`, '"LABEL"').replaceAll(names.prefix, 'PREFIX:');
}

const sorted = (text: string) => text.replaceAll('"Thing","LABEL"', '"LABEL","Thing"');

const SETTINGS_YAML = 'models:\n  chat:\n    model: gpt-x\n    api_key: hunter2\n';
/** As the operators of the system store them. */
const putSettings = (name: string, Body: string) =>
  deployedStack().bucket.s3.send(
    new PutObjectCommand({ Bucket: SETTINGS.bucket, Key: `${SETTINGS.prefix}/${name}`, Body }),
  );

beforeAll(async () => {
  await deployedStack().bucket.s3.send(new CreateBucketCommand({ Bucket: SETTINGS.bucket }));
  await putSettings('settings.yaml', SETTINGS_YAML);
  await putSettings('.env', 'OPENAI_API_KEY=hunter2\nTOP_K=60\n');
  await removeTarget(COPY);
  await fillTarget(OPTIONS);
  original = await bare(OPTIONS);
  const { output, cause } = await deployedStack().run('Backup', {
    target: 'options',
    tags: ['weekly', 'env=test'],
  });
  expect(cause).toBeUndefined();
  backupId = (JSON.parse(output ?? '') as { backup_id: string }).backup_id;
});

afterAll(async () => {
  await removeTarget(COPY);
  await removeTarget(OPTIONS);
  const { s3 } = deployedStack().bucket;
  await new Bucket(SETTINGS.bucket, s3).removeAll('');
  await s3.send(new DeleteBucketCommand({ Bucket: SETTINGS.bucket }));
});

describe('a restore with options, through the deployed stack', () => {
  it('creates a copy under other names next to the original, which is not touched', async () => {
    const stack = deployedStack();
    const before = await bare(OPTIONS);
    const input = { backup_id: backupId, confirm: 'options', rename: RENAME };
    const { status, cause, output } = await stack.run('Restore', input);
    expect({ status, cause }).toEqual({ status: 'SUCCEEDED', cause: undefined });
    // As values, since servers write the fields of a hash in any order.
    expect(JSON.parse(sorted(await bare(COPY)))).toEqual(JSON.parse(sorted(before)));
    expect(JSON.parse(await bare(OPTIONS))).toEqual(JSON.parse(before));
    const result = JSON.parse(output ?? '') as {
      job_id: string;
      origin: { changes: string[] };
      records_restored: number;
      files_restored: number;
      seconds?: number;
      bytes?: number;
    };
    expect(result).toMatchObject({ records_restored: RECORDS, files_restored: 0 });
    const { seconds = -1, bytes = 0 } = result;
    expect([seconds >= 0, bytes > 0]).toEqual([true, true]);
    const { stores } = await readInspection(stack.bucket, result.job_id);
    expect(stores.map(({ room }) => room)).toEqual([
      { of: 'disk', needed_bytes: expect.any(Number) },
      { of: 'disk', needed_bytes: expect.any(Number), total_bytes: expect.any(Number) },
      { of: 'memory', needed_bytes: expect.any(Number), total_bytes: totalmem() },
    ]);
    expect(result.origin).toMatchObject({ restored_from_backup: backupId, original_target: 'options' });
    expect(result.origin.changes).toEqual([
      'graph: label "Options" becomes "OptionsCopy"',
      'vectors: collection "option_items" becomes "options_copy"',
      'kv: keys "options:…" become "options-copy:…"',
    ]);
  });

  it('backs up the copy, and not the original, before it replaces it', async () => {
    const stack = deployedStack();
    await withClients(async ({ redis }) => {
      await redis.set(`${COPY.prefix}docs:extra`, '{"only": "in the copy"}');
    });
    const { name, status } = await stack.run('Restore', {
      backup_id: backupId,
      confirm: 'options',
      rename: RENAME,
    });
    expect(status).toBe('SUCCEEDED');
    const safety = await findSafetyBackup(stack.bucket, name ?? '');
    expect(CatalogRecord.parse(safety).tallies.kv?.['keys:docs']?.count).toBe(21);
    // It is restored to its origin, without an option for that.
    const back = await stack.run('Restore', { backup_id: safety?.backup_id, confirm: 'options' });
    expect(back.cause).toBeUndefined();
    await withClients(async ({ redis }) => {
      expect(await redis.get(`${COPY.prefix}docs:extra`)).toBe('{"only": "in the copy"}');
      expect(await redis.exists(`${OPTIONS.prefix}docs:extra`)).toBe(0);
    });
  });

  it('restores one namespace alone', async () => {
    const stack = deployedStack();
    await withClients(async ({ redis, cypher }) => {
      await redis.del(`${OPTIONS.prefix}docs:d1`);
      await redis.set(`${OPTIONS.prefix}cache:c1`, 'newer');
      await cypher(`MATCH (n:${OPTIONS.label} {id: 'n1'}) SET n.weight = 77.0`);
    });
    const { status } = await stack.run('Restore', {
      backup_id: backupId,
      confirm: 'options',
      only: { namespaces: ['docs'] },
    });
    expect(status).toBe('SUCCEEDED');
    await withClients(async ({ redis, cypher }) => {
      expect(await redis.exists(`${OPTIONS.prefix}docs:d1`)).toBe(1);
      expect(await redis.get(`${OPTIONS.prefix}cache:c1`)).toBe('newer');
      expect(await cypher(`MATCH (n:${OPTIONS.label} {id: 'n1'}) RETURN n.weight AS w`)).toEqual([{ w: 77 }]);
    });
  });

  it('refuses what it cannot do safely, with the reason, before anything is written', async () => {
    const stack = deployedStack();
    const before = await bare(OPTIONS);
    const refused = async (options: object) =>
      (await stack.run('Restore', { backup_id: backupId, confirm: 'options', ...options })).cause;
    expect(await refused({ only: { collections: ['nowhere'] } })).toContain('no collection "nowhere"');
    expect(await refused({ rename: { label: 'Thing' } })).toContain('could not be distinguished');
    expect(JSON.parse(await bare(OPTIONS))).toEqual(JSON.parse(before));
  });

  it('is found by its tags, shown with its metadata, and verified with both', async () => {
    const stack = deployedStack();
    const call = async (method: string, path: string) => {
      const answer = await fetch(`${stack.apiUrl()}/api/v1/${path}`, {
        method,
        headers: { authorization: `Bearer ${stack.apiKey('operator')}` },
      });
      expect(answer.status).toBe(200);
      return answer.json();
    };
    const metadata = {
      backup_id: backupId,
      record_count: RECORDS,
      file_count: 0,
      includes_files: false,
      storage_type: 's3',
      storage_class: 'STANDARD',
      storage_path: `s3://${stack.bucket.name}/backups/${backupId}.ngbak`,
      tags: ['weekly', 'env=test'],
      tag_pairs: { env: 'test' },
    };
    const list = (tag: string) => call('GET', `backup?target=options&${tag}`);
    expect(await list('tag=env&tag=weekly')).toMatchObject({ backups: [metadata], total: 1 });
    expect(await list('tag=env%3Dprod')).toMatchObject({ backups: [], total: 0 });
    expect(await call('GET', `backup/${backupId}`)).toMatchObject(metadata);
    expect(await call('POST', `backup/${backupId}/verify`)).toMatchObject({
      done: true,
      is_valid: true,
      errors: [],
      metadata: { ...metadata, verification: { state: 'verified' } },
    });
    // In the bucket as well, for readers of the records there.
    const { tag_pairs: _, ...recorded } = metadata;
    expect((await stack.bucket.readRecord(catalogKey(backupId), CatalogRecord))?.value).toMatchObject(
      recorded,
    );
  });

  it('restores only into an empty target on request, by either name of the option', async () => {
    const stack = deployedStack();
    const names: Names = { label: 'OptionsEmpty', collection: 'options_empty', prefix: 'options-empty:' };
    const rename = {
      label: names.label,
      key_prefix: names.prefix,
      collections: { [OPTIONS.collection]: names.collection },
    };
    const restore = (options: object) =>
      stack.run('Restore', { backup_id: backupId, confirm: 'options', rename, ...options });
    await removeTarget(names);
    expect((await restore({ mode: 'if_empty' })).cause).toBeUndefined();
    const restored = await bare(names);
    expect(JSON.parse(sorted(restored))).toEqual(JSON.parse(sorted(original)));
    const { cause } = await restore({ overwrite: false });
    for (const store of ['graph', 'vectors', 'kv']) {
      expect(cause).toContain(`${store}: the target is not empty`);
    }
    expect(await bare(names)).toBe(restored);
    expect((await restore({ overwrite: false, mode: 'merge' })).cause).toContain('contradicts');
    await removeTarget(names);
  });

  it('reports differing versions of ngbak, profile and servers, and what may differ, before anything is written', async () => {
    const stack = deployedStack();
    const archive = await buildArchive([], {
      draft: {
        ...DRAFT,
        ngbak_version: '99.0.0',
        nano_graphrag_version: '1.4.9',
        storage_backends: { kv: { kind: 'redis', version: '9.9.0', edition: 'valkey' } },
        scope: { type: 'full', stores: ['kv'], target: 'options', profile: 'lightrag' },
      },
    });
    const { job_id } = await stack.restoreByUpload('options', archive, { dry_run: true });
    const { archive: inspected, stores, warnings } = await readInspection(stack.bucket, job_id);
    expect(inspected).toMatchObject({ ngbak_version: '99.0.0', system_version: '1.4.9' });
    expect(warnings).toEqual([
      expect.stringContaining('created by a newer ngbak, 99.0.0'),
      expect.stringContaining('profile "lightrag", and the target has profile "custom"'),
      expect.stringContaining(
        `is of version 1.4.9 of the GraphRAG system, and the target runs ${SYSTEM_VERSION}`,
      ),
    ]);
    expect(stores).toMatchObject([{ store: 'kv', saved_version: '9.9.0' }]);
    expect(stores[0]?.warnings).toEqual(
      expect.arrayContaining([
        expect.stringContaining('created from version 9.9.0, and the target is older: 7.0'),
        expect.stringContaining('created from valkey, and the target is redis'),
      ]),
    );
    // Its own backups state its version, and cause no warnings.
    const own = await stack.run('Restore', { backup_id: backupId, confirm: 'options', dry_run: true });
    const inspection = await readInspection(stack.bucket, own.name ?? '');
    expect(inspection.archive).toMatchObject({ system_version: SYSTEM_VERSION });
    expect(inspection.warnings ?? []).toEqual([]);
  });

  it('shows how the settings of the running system, in S3 and in keys in Redis, differ from those of the backup', async () => {
    const stack = deployedStack();
    const archive = await openArchive(bufferSource('own.ngbak', await stack.download(backupId)));
    const saved = (await readAll(archive, 'config/effective.json')).toString('utf8');
    expect(saved).not.toContain('hunter2');
    expect(JSON.parse(saved).running).toEqual({
      'settings.yaml': { models: { chat: { model: 'gpt-x', api_key: '***' } } },
      '.env': { OPENAI_API_KEY: '***', TOP_K: '60' },
    });
    await putSettings('settings.yaml', SETTINGS_YAML.replace('gpt-x', 'gpt-y'));
    const { name } = await stack.run('Restore', { backup_id: backupId, confirm: 'options', dry_run: true });
    expect((await readInspection(stack.bucket, name ?? '')).configuration).toEqual({
      total: 1,
      differences: [
        { setting: 'running.settings.yaml.models.chat.model', archive: '"gpt-x"', target: '"gpt-y"' },
      ],
    });
    await putSettings('settings.yaml', SETTINGS_YAML);
  });

  it('labels what it restored with its origin: nodes, points of a snapshot, and next to the keys', async () => {
    const stack = deployedStack();
    await fillTarget(SCRATCH);
    const { output } = await stack.run('Backup', { target: 'scratch' });
    const { backup_id } = JSON.parse(output ?? '') as { backup_id: string };
    const before = await readTarget(SCRATCH);
    const restore = { backup_id, confirm: 'scratch', label_origin: true };
    expect((await stack.run('Restore', restore)).cause).toBeUndefined();
    const { label, collection, prefix } = SCRATCH;
    await withClients(async ({ cypher, qdrant, redis }) => {
      expect(
        await cypher(`MATCH (n:${label}) RETURN n.restored_from_backup AS backup, count(n) AS nodes`),
      ).toMatchObject([{ backup: backup_id }]);
      const filter = { must: [{ key: 'restored_from_backup', match: { value: backup_id } }] };
      expect(
        await qdrant('POST', `/collections/${collection}/points/count`, { filter, exact: true }),
      ).toMatchObject({ result: { count: 20 } });
      expect(await qdrant('GET', `/collections/${collection}/points/3`)).toMatchObject({
        result: {
          payload: {
            entity_name: 'n3',
            restored_from_backup: backup_id,
            original_target: 'scratch',
            original_collection: collection,
          },
        },
      });
      expect(await redis.hgetall(`${prefix}__ngbak:origin`)).toEqual({
        restored_from_backup: backup_id,
        backup_timestamp: expect.any(String),
        original_target: 'scratch',
        original_prefix: prefix,
      });
    });
    // Without the option, an earlier label of the origin would be wrong: it is removed.
    expect((await stack.run('Restore', { backup_id, confirm: 'scratch' })).cause).toBeUndefined();
    expect(await readTarget(SCRATCH)).toEqual(before);
    await removeTarget(SCRATCH);
  });

  it.each([
    ['keep', '{"content": "newer"}', 77],
    ['overwrite', '{"content":"document 3"}', 1.5],
  ])(
    'merges into existing data (%s), and a second merge changes nothing more',
    async (onConflict, content, weight) => {
      const stack = deployedStack();
      await fillTarget(OPTIONS);
      const { label, collection, prefix } = OPTIONS;
      await withClients(async ({ redis, cypher, qdrant }) => {
        await redis.del(`${prefix}docs:d2`);
        await redis.set(`${prefix}docs:d3`, '{"content": "newer"}');
        await redis.set(`${prefix}docs:added`, '{"content": "added since"}');
        await cypher(`MATCH (n:${label} {id: 'n2'}) DETACH DELETE n`);
        await cypher(`MATCH (n:${label} {id: 'n3'}) SET n.weight = 77.0`);
        await cypher(`CREATE (:${label}:Thing {id: 'added', count: 100})`);
        await qdrant('POST', `/collections/${collection}/points/delete?wait=true`, { points: [5] });
      });
      const merge = { backup_id: backupId, confirm: 'options', mode: 'merge', on_conflict: onConflict };
      const merged: unknown[] = [];
      for (const _turn of ['once', 'twice']) {
        const { status, cause } = await stack.run('Restore', merge);
        expect({ status, cause }).toEqual({ status: 'SUCCEEDED', cause: undefined });
        merged.push(JSON.parse(await bare(OPTIONS)));
      }
      expect(merged[1]).toEqual(merged[0]);
      await withClients(async ({ redis, cypher, qdrant }) => {
        expect(await redis.get(`${prefix}docs:d2`)).toBe('{"content":"document 2"}');
        expect(await redis.get(`${prefix}docs:d3`)).toBe(content);
        expect(await redis.get(`${prefix}docs:added`)).toBe('{"content": "added since"}');
        const nodes = await cypher(
          `MATCH (n:${label}) RETURN count(n) AS nodes, count { (:${label})-[:RELATED]->(:${label}) } AS relationships`,
        );
        expect(nodes.map((row) => Object.values(row).map(Number))).toEqual([[21, 19]]);
        expect(await cypher(`MATCH (n:${label} {id: 'n3'}) RETURN n.weight AS weight`)).toEqual([{ weight }]);
        expect(await qdrant('GET', `/collections/${collection}/points/5`)).toMatchObject({
          result: { id: 5 },
        });
      });
    },
  );

  it('writes their origin onto the nodes on request', async () => {
    const stack = deployedStack();
    const { status } = await stack.run('Restore', {
      backup_id: backupId,
      confirm: 'options',
      stores: ['graph'],
      rename: { label: COPY.label },
      label_origin: true,
    });
    expect(status).toBe('SUCCEEDED');
    await withClients(async ({ cypher }) => {
      expect(
        await cypher(
          `MATCH (n:${COPY.label}) RETURN DISTINCT n.restored_from_backup AS backup, n.original_label AS label, n.original_target AS target`,
        ),
      ).toEqual([{ backup: backupId, label: OPTIONS.label, target: 'options' }]);
    });
  });
});

describe('a LightRAG workspace that is restored as another one, through the deployed stack', () => {
  /**
   * Target `lightrag` is OWN. Names of workspaces are prefixes of each other, as are their keys in Redis; COPY has
   * different content, and EDGE must not be mistaken for a part of it.
   */
  const [OWN, COPY, EDGE] = ['stackrag', 'stackrag_copy', 'stackrag_copy_b'];
  const WORKSPACES = [OWN, COPY, EDGE];
  const COLLECTIONS = ['entities', 'relationships', 'chunks'].map((name) => `lightrag_vdb_${name}_stub_8d`);
  let client: PythonClient;
  let folder: string;

  /** Makes LightRAG's own storage classes write a workspace, or read it as LightRAG does: IDs, values, searches. */
  async function lightrag(action: 'write' | 'read', workspace: string): Promise<string> {
    const redis = new URL(servers.redis.url);
    redis.password = servers.redis.password ?? '';
    const said = await client([action, 'servers', workspace, folder], {
      REDIS_URI: `${redis}`,
      NEO4J_URI: servers.neo4j.uri,
      NEO4J_USERNAME: servers.neo4j.username,
      NEO4J_PASSWORD: servers.neo4j.password,
      QDRANT_URL: servers.qdrant.url,
      QDRANT_API_KEY: servers.qdrant.apiKey,
    });
    // Points contain their workspace, which is to be replaced.
    return said.replaceAll(`"workspace_id": "${workspace}"`, '"workspace_id": "…"');
  }

  const indexesOf = (workspace: string) =>
    withClients(async ({ cypher }) => {
      const found = await cypher(
        'SHOW INDEXES YIELD name, type, labelsOrTypes, properties WHERE $label IN labelsOrTypes RETURN name, type, properties ORDER BY type',
        { label: workspace },
      );
      // The server generates names for indexes created without one.
      return found.map(({ name, type, properties }) => [
        type,
        properties,
        String(name).startsWith('index_') ? '' : String(name).replace(workspace, '…'),
      ]);
    });

  async function removeAll(): Promise<void> {
    await withClients(async ({ cypher, redis, qdrant }) => {
      for (const label of WORKSPACES) {
        await cypher(`MATCH (n:${label}) DETACH DELETE n`);
        for (const { name } of await cypher(
          'SHOW INDEXES YIELD name, labelsOrTypes WHERE $label IN labelsOrTypes RETURN name',
          { label },
        ))
          await cypher(`DROP INDEX \`${name}\``);
      }
      for (const collection of COLLECTIONS) await qdrant('DELETE', `/collections/${collection}`);
      const keys = await redis.keys(`${OWN}_*`);
      if (keys.length > 0) await redis.del(keys);
    });
  }

  beforeAll(async () => {
    client = await pythonClient('lightrag_client.py');
    folder = await mkdtemp(join(tmpdir(), 'ngbak-stack-lightrag-'));
    await removeAll();
    for (const workspace of WORKSPACES) await lightrag('write', workspace);
  });
  afterAll(async () => {
    await removeAll();
    await rm(folder, { recursive: true });
  });

  it('is found there by LightRAG itself, with every id and reference, and no other workspace is touched', async () => {
    const stack = deployedStack();
    const [own, copy, edge] = await Promise.all(WORKSPACES.map((name) => lightrag('read', name)));
    expect(JSON.parse(own ?? '').nodes).toHaveLength(20);
    expect(copy).not.toBe(own);
    const backup = await stack.run('Backup', { target: 'lightrag' });
    expect(backup.cause).toBeUndefined();
    const { backup_id } = JSON.parse(backup.output ?? '') as { backup_id: string };

    const { cause, output } = await stack.run('Restore', {
      backup_id,
      confirm: 'lightrag',
      rename: { parameters: { workspace: COPY } },
    });
    expect(cause).toBeUndefined();
    expect(await lightrag('read', COPY)).toBe(own);
    expect(await indexesOf(COPY)).toEqual(await indexesOf(OWN));
    expect(await lightrag('read', OWN)).toBe(own);
    expect(await lightrag('read', EDGE)).toBe(edge);

    const { origin, references } = JSON.parse(output ?? '') as {
      origin: { changes: string[] };
      references: { reference: string; total: number; after: number }[];
    };
    expect(origin.changes).toEqual([
      `graph: label "${OWN}" becomes "${COPY}"`,
      `vectors: workspace_id "${OWN}" becomes "${COPY}", and ids of points with it`,
      `kv: keys "${OWN}_…" become "${COPY}_…"`,
    ]);
    expect(
      Object.fromEntries(references.map(({ reference, total, after }) => [reference, { total, after }])),
    ).toEqual({
      'vectors entities.entity_name → graph nodes.entity_id': { total: 20, after: 0 },
      'vectors relationships.src_id → graph nodes.entity_id': { total: 20, after: 0 },
      'vectors relationships.tgt_id → graph nodes.entity_id': { total: 20, after: 0 },
      // The client writes a ring of vectors, and no relationship that closes it.
      'vectors relationships.src_id|tgt_id → graph relationships.start.entity_id|end.entity_id': {
        total: 20,
        after: 1,
      },
      'vectors chunks.full_doc_id → kv full_docs.id': { total: 20, after: 0 },
      'graph nodes.source_id → kv text_chunks.id': { total: 20, after: 0 },
      'graph relationships.source_id → kv text_chunks.id': { total: 19, after: 0 },
      'kv text_chunks.full_doc_id → kv full_docs.id': { total: 25, after: 0 },
    });
  });
});
