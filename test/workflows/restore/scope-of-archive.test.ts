import { describe, expect, test } from '@jest/globals';
import { openArchive } from '../../../shared/archive/read/open.ts';
import { bufferSource } from '../../../shared/archive/read/sources.ts';
import { NgbakConfig } from '../../../shared/core/config.ts';
import { relatedJobId } from '../../../shared/core/job-ids.ts';
import type { Environment } from '../../../shared/workflows/environment.ts';
import { admitRestore } from '../../../shared/workflows/restore/admit.ts';
import { type AdmittedRestore, readAdmitted } from '../../../shared/workflows/restore/plan.ts';
import { RestoreOptions } from '../../../shared/workflows/restore/request.ts';
import { routeStore, scopeChange } from '../../../shared/workflows/restore/routes.ts';
import { type Content, DRAFT } from '../../archive/build.ts';
import { forge } from '../../archive/forge.ts';
import { freshEnvironment } from '../../support/aws.ts';
import { catalogue } from '../../support/catalog.ts';

/** A manifest may contain anything: it must never decide what a restore clears. */

const TARGETS = {
  mine: {
    stores: {
      graph: { kind: 'neo4j', secret: 'g', scope: { label: 'Mine', key_property: 'id' } },
      vectors: { kind: 'qdrant', secret: 'v', scope: { collections: ['mine'] } },
      kv: { kind: 'redis', secret: 'k', scope: { prefix: 'mine:' } },
    },
  },
  folder: { stores: { kv: { kind: 'files', secret: 'f', scope: { include: ['mine_*.json'] } } } },
};
const config = NgbakConfig.parse({ targets: TARGETS });
const STORES = [
  ['graph', {}, TARGETS.mine.stores.graph.scope],
  ['vectors', {}, TARGETS.mine.stores.vectors.scope],
  ['kv', { prefix: '' }, TARGETS.mine.stores.kv.scope],
] as const;

const plan = (changes: Partial<AdmittedRestore> = {}): AdmittedRestore => ({
  job_id: 'job',
  target: 'mine',
  execution_arn: 'arn:aws:states:eu-central-1:000000000000:execution:restore:job',
  created_at: '2026-01-02T03:04:05.000Z',
  source: { bucket: 'b', key: 'uploads/job/x.ngbak' },
  options: RestoreOptions.parse({}),
  stores: ['graph', 'vectors', 'kv'],
  confirmed: true,
  ...changes,
});

async function archiveOf(scope: object, contents: readonly Content[] = []) {
  const bytes = await forge({
    contents: [{ name: 'graph/x.jsonl', data: Buffer.from('{}\n') }, ...contents],
    manifest: (manifest) => ({ ...manifest, tags: ['pre-restore'], scope: { ...DRAFT.scope, ...scope } }),
  });
  return openArchive(bufferSource('x.ngbak', bytes));
}

describe('an uploaded archive that poses as a safety backup of its target', () => {
  test.each(STORES)('does not widen the scope of %s', async (store, saved, configured) => {
    const archive = await archiveOf({ target: 'mine', scopes: { [store]: saved } });
    const { scope } = await routeStore(config, plan(), archive, store);
    expect(scope).toMatchObject(configured);
    expect(scopeChange(config, plan(), archive, store)).toMatch(
      /saved from a different scope than the target's current one: .*only the target's own scope is cleared/,
    );
  });

  test('does not widen the files of a folder', async () => {
    const archive = await archiveOf({ target: 'folder', scopes: { kv: { include: ['*'] } } });
    const { scope } = await routeStore(config, plan({ target: 'folder', stores: ['kv'] }), archive, 'kv');
    expect(scope).toMatchObject({ include: ['mine_*.json'] });
  });

  test('does not select a scope of the same size elsewhere', async () => {
    const archive = await archiveOf({ target: 'mine', scopes: { kv: { prefix: 'other:' } } });
    expect((await routeStore(config, plan(), archive, 'kv')).scope).toMatchObject({ prefix: 'mine:' });
  });

  test('cannot flood the report of the inspection with its scope, or reverse its text', async () => {
    const namespaces = Array.from({ length: 200 }, (_, i) => ({ name: `n${i}`, prefix: `mine:\u202e${i}` }));
    const archive = await archiveOf({ target: 'mine', scopes: { kv: { prefix: '', namespaces } } });
    const change = scopeChange(config, plan(), archive, 'kv') ?? '';
    expect(change.length).toBeLessThan(800);
    expect(change).not.toContain('\u202e');
  });

  test('whose scope is that of the target is not a change', async () => {
    const archive = await archiveOf({ target: 'mine', scopes: { kv: { prefix: 'mine:' } } });
    expect(scopeChange(config, plan(), archive, 'kv')).toBeUndefined();
  });
});

test('a real safety backup is restored into the scope that it was saved from', async () => {
  const archive = await archiveOf({ target: 'mine', scopes: { kv: { prefix: 'mine-copy:' } } });
  const own = plan({ saved_scopes: true, source: { bucket: 'b', key: 'backups/x.ngbak' } });
  expect((await routeStore(config, own, archive, 'kv')).scope).toMatchObject({ prefix: 'mine-copy:' });
  expect(scopeChange(config, own, archive, 'kv')).toBeUndefined();
});

describe('a scope of tenants by a property', () => {
  const scope = (...values: string[]) => ({ property: 'group_id', in: values, key_property: 'uuid' });
  const tenants = NgbakConfig.parse({
    targets: {
      mine: { stores: { graph: { kind: 'neo4j', secret: 'g', scope: scope('mine', 'too') } } },
      named: {
        profile: 'graphiti',
        parameters: { group_ids: ['mine'] },
        stores: { graph: { kind: 'neo4j', secret: 'g' } },
      },
    },
  });

  test.each([
    ['the whole database', {}],
    ['a label', { label: 'Entity' }],
    ['another property', { property: 'uuid', in: ['mine'] }],
    ['no valid scope', { property: 'group_id', in: [{ toString: 1 }] }],
  ])('is not replaced by that of a manifest: %s', async (_, saved) => {
    const archive = await archiveOf({ target: 'mine', scopes: { graph: saved } });
    await expect(routeStore(tenants, plan({ stores: ['graph'] }), archive, 'graph')).rejects.toThrow(
      /the target's scope is property "group_id" in "mine", "too"/,
    );
  });

  test('is narrowed to the tenants of the archive, and never extended by them', async () => {
    const narrow = await archiveOf({ target: 'mine', scopes: { graph: scope('too') } });
    expect((await routeStore(tenants, plan(), narrow, 'graph')).scope).toEqual(scope('too'));
    const wide = await archiveOf({ target: 'mine', scopes: { graph: scope('mine', 'too', 'theirs') } });
    await expect(routeStore(tenants, plan(), wide, 'graph')).rejects.toThrow(/not clear which value/);
  });

  test('is that of a real safety backup, also after a rename', async () => {
    const archive = await archiveOf({ target: 'mine', scopes: { graph: scope('copy') } });
    const own = plan({ saved_scopes: true, source: { bucket: 'b', key: 'backups/x.ngbak' } });
    expect(await routeStore(tenants, own, archive, 'graph')).toMatchObject({
      scope: scope('copy'),
      changes: [],
    });
  });

  test('is renamed by the parameters of the profile', async () => {
    const archive = await archiveOf({
      target: 'named',
      profile: 'graphiti',
      scopes: { graph: scope('mine') },
    });
    const options = RestoreOptions.parse({ rename: { parameters: { group_ids: ['copy'] } } });
    expect(await routeStore(tenants, plan({ target: 'named', options }), archive, 'graph')).toMatchObject({
      scope: scope('copy'),
      names: { mine: 'copy' },
      changes: ['group_id "mine" becomes "copy"'],
    });
  });
});

describe('whether a catalogued backup is a safety backup', () => {
  const admitted = async (environment: Environment, backup_id: string, target: string) => {
    const name = `restore_${backup_id}_${target}`.replaceAll(/[^a-zA-Z0-9_-]/g, '-');
    const execution = {
      name,
      arn: `arn:aws:states:eu-central-1:000000000000:execution:restore:${name}`,
      start: new Date().toISOString(),
    };
    await admitRestore(environment, { backup_id, target }, execution);
    return (await readAdmitted(environment.bucket, name)).saved_scopes;
  };

  test('is read from the job in its record, and neither from its tags nor for another target', async () => {
    const kv = { kind: 'redis', secret: 'k' };
    const environment = await freshEnvironment({ default: { stores: { kv } }, other: { stores: { kv } } });
    const { bucket } = environment;
    const safety = { backup_id: 'safe', job_id: relatedJobId('safety', 'job'), tags: ['pre-restore'] };
    await catalogue(bucket, safety);
    await catalogue(bucket, { backup_id: 'tagged', tags: ['pre-restore'] });
    expect(await admitted(environment, 'safe', 'default')).toBe(true);
    expect(await admitted(environment, 'tagged', 'default')).toBeUndefined();
    expect(await admitted(environment, 'safe', 'other')).toBeUndefined();
  });
});
