import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { installCognee } from '../../../local/install/python.ts';
import { VERSIONS } from '../../../local/versions.ts';
import { profileScopes } from '../../../shared/profiles/profiles.ts';
import { proposeProfile } from '../../../shared/profiles/propose.ts';
import { evidenceOf, markRequests } from '../../../shared/profiles/system-evidence.ts';
import { filesAdapter } from '../../../shared/stores/files/adapter.ts';
import { describeUnless, pythonOlderThan } from '../../conditions.ts';
import { contentOf } from '../files/content.ts';
import { exportAll, legContext, restoreAll, withStore } from '../memory-archive.ts';
import { type PythonClient, pythonClient } from './python-client.ts';

const layout = { profile: 'cognee', parameters: {} };

describeUnless(pythonOlderThan(3, 11), "cognee's own classes", () => {
  let client: PythonClient;
  let folder: string;

  beforeAll(async () => {
    client = await pythonClient('cognee_client.py', installCognee);
    folder = await mkdtemp(join(tmpdir(), 'ngbak-cognee-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  test('read the same users, datasets, documents, graphs and vectors after they were saved, wiped and restored', async () => {
    const scope = filesAdapter.Scope.parse(profileScopes('cognee', {}, 'files').kv);
    const marks = markRequests(layout, 'kv');
    const open = () => filesAdapter.create({ location: folder }, scope, { target: 'test', marks });
    await client(['write', folder]);
    expect(proposeProfile({ kv: await withStore(open, (store) => store.names(legContext())) })).toMatchObject(
      layout,
    );
    const measured = await withStore(open, (store) => store.probe(legContext()));
    expect(measured.warnings).toMatchObject([{ code: 'subfolders-left-out', samples: ['logs'] }]);
    expect(evidenceOf(layout, { kv: measured })).toMatchObject({
      version: VERSIONS.cognee,
      marks: [
        { name: 'global_database_version.cognee_version', value: VERSIONS.cognee },
        { name: 'alembic_version.version_num' },
      ],
    });
    // One file in each leg.
    const { archive, tallies } = await exportAll(open, 1);
    expect(await contentOf(archive)).toMatchObject({ problems: [], warnings: [], tallies });
    const names = archive.names();
    for (const part of [/\/cognee_db$/, /\.lbug$/, /Concept_name\.lance\/data\//, /\.txt$/])
      expect(names.filter((name) => part.test(name)).length).toBeGreaterThan(0);
    expect(names.filter((name) => name.includes('/logs/'))).toEqual([]);

    const before = JSON.parse(await client(['read', folder]));
    for (const dataset of ['main', 'other']) {
      const found = before[dataset];
      expect([found.nodes.length, found.edges.length, found.points.length]).toEqual([20, 19, 20]);
      expect([found.nearest.length, found.documents[0][2]]).toEqual([
        5,
        `Document of ${dataset}: Überblick, 知識, 😀`,
      ]);
    }

    for (const name of await readdir(folder)) await rm(join(folder, name), { recursive: true });
    // What a program that was started too early has created in the meantime.
    const emptied = JSON.parse(await client(['read', folder]));
    expect(Object.keys(emptied)).toEqual(['user']);
    expect(emptied.user).not.toEqual(before.user);

    const { differences, samples, readBack } = await restoreAll(open, archive, { hurried: true });
    expect({ differences, samples, readBack }).toEqual({ differences: 0, samples: [], readBack: tallies });
    expect(JSON.parse(await client(['read', folder]))).toEqual(before);
  });
});
