import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { installMsGraphrag } from '../../../local/install/python.ts';
import { profileScopes } from '../../../shared/profiles/profiles.ts';
import { proposeProfile } from '../../../shared/profiles/propose.ts';
import { evidenceOf, markRequests } from '../../../shared/profiles/system-evidence.ts';
import { filesAdapter } from '../../../shared/stores/files/adapter.ts';
import { datasetOf } from '../../../shared/stores/files/order.ts';
import { describeUnless, pythonOlderThan } from '../../conditions.ts';
import { until } from '../../support/until.ts';
import { contentOf } from '../files/content.ts';
import { exportAll, legContext, restoreAll, withStore } from '../memory-archive.ts';
import { type PythonClient, pythonClient } from './python-client.ts';

// A deadline for hangs: the first time, the packages are installed.

describeUnless(pythonOlderThan(3, 11), "Microsoft GraphRAG's own classes", () => {
  let client: PythonClient;
  let root: string;
  let folder: string;
  let indexed: string;

  beforeAll(async () => {
    client = await pythonClient('graphrag_client.py', installMsGraphrag);
    root = await mkdtemp(join(tmpdir(), 'ngbak-ms-graphrag-'));
    folder = join(root, 'project');
    await mkdir(join(folder, 'prompts'), { recursive: true });
    await mkdir(join(folder, 'logs'));
    await client(['write', folder]);
    const files = {
      'settings.yaml': 'completion_models: {}\n',
      'prompts/extract_graph.txt': 'Extract.\n',
      '.env': 'GRAPHRAG_API_KEY=secret\n',
      'logs/indexing.log': 'started\n',
    };
    for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
    indexed = await client(['read', folder]);
  });
  afterAll(() => rm(root, { recursive: true, force: true }));

  const scope = filesAdapter.Scope.parse(profileScopes('ms-graphrag', {}, 'files').kv);
  const storeIn = (location: string) => () => filesAdapter.create({ location }, scope, { target: 'test' });

  test('read the same index after a restore: tables, vectors of every version, cache', async () => {
    const found = JSON.parse(indexed);
    expect([
      found.entities.length,
      found['entity_description count'],
      found['entity_description versions'],
    ]).toEqual([30, 30, 6]);
    expect(found['entity_description nearest'][0]).toEqual(['entity-7', 1]);
    const before = await filesBelow(folder);
    const open = storeIn(folder);
    const names = await withStore(open, (store) => store.names(legContext()));
    expect(proposeProfile({ kv: names })).toMatchObject({ profile: 'ms-graphrag', parameters: {} });
    const { archive, tallies } = await exportAll(open, 5);
    const layout = { profile: 'ms-graphrag', parameters: {} };
    const marks = markRequests(layout, 'kv');
    const measured = await withStore(
      () => filesAdapter.create({ location: folder }, scope, { target: 'test', marks }),
      (store) => store.probe(legContext()),
    );
    expect(measured).toMatchObject({ warnings: [] });
    expect(evidenceOf(layout, { kv: measured })).toMatchObject({ since: '3.0.0' });
    const { problems, warnings, tallies: read } = await contentOf(archive);
    expect({ problems, warnings, read }).toEqual({ problems: [], warnings: [], read: tallies });
    expect(archive.names().filter((name) => /\.env|logs/.test(name))).toEqual([]);

    for (const name of ['output', 'cache', 'prompts', 'settings.yaml'])
      await rm(join(folder, name), { recursive: true });
    // A table that the archive does not contain would still be listed if its folder remained.
    await cp(join(folder, 'logs'), join(folder, 'output/lancedb/other.lance/data'), { recursive: true });
    const { differences } = await restoreAll(open, archive, { hurried: true });
    expect(differences).toBe(0);
    expect(await filesBelow(folder)).toEqual(before);
    expect(await readdir(join(folder, 'output/lancedb'))).toHaveLength(3);
    expect(await client(['read', folder])).toBe(indexed);
  });

  test('open every version of vectors that were being written while they were saved', async () => {
    const busy = join(root, 'busy');
    await cp(folder, busy, { recursive: true });
    const versionsOf = async () =>
      (await readdir(join(busy, 'output/lancedb/entity_description.lance/_versions'))).length;
    const before = await versionsOf();
    const stop = join(root, 'stop');
    const ended = client(['update', busy, stop]);
    let isOver = false;
    const over = () => {
      isOver = true;
    };
    ended.then(over, over);
    await until('two versions are added', async () => isOver || (await versionsOf()) >= before + 2);
    // Every file in a leg of its own, so that versions appear between any two of them.
    const { archive } = await exportAll(storeIn(busy), 1);
    await writeFile(stop, '');
    const added = Number(await ended);
    const { problems, warnings } = await contentOf(archive);
    expect({ problems, warnings }).toEqual({ problems: [], warnings: [] });
    const restored = join(root, 'restored');
    await mkdir(restored);
    expect((await restoreAll(storeIn(restored), archive)).differences).toBe(0);
    const versions = archive.names().filter((name) => datasetOf(name)?.endsWith('entity_description.lance'));
    const counts: number[] = JSON.parse(await client(['vectors', restored, 'entity_description']));
    expect(counts).toHaveLength(versions.length);
    expect(versions.length).toBeGreaterThan(6);
    expect(added).toBeGreaterThan(versions.length - 6);
  });

  test.each([
    ['a data file', (name: string) => name.includes('/data/'), 'data/'],
    ['an index', (name: string) => name.includes('/_indices/'), '_indices/'],
  ])('the check of an archive names %s that is missing in the newest version', async (_, isLost, named) => {
    const { archive } = await exportAll(storeIn(folder));
    const lost = archive.names().filter((name) => name.includes('text_unit_text.lance') && isLost(name));
    for (const name of lost) archive.delete(name);
    expect((await contentOf(archive)).problems).toEqual([
      expect.stringMatching(
        new RegExp(
          `text_unit_text.lance/_versions/\\d+.manifest, names .*${named}.*, which is not in the archive`,
        ),
      ),
    ]);
  });

  test('the check of an archive reports an older version of which a file is missing, and a truncated file', async () => {
    const { archive } = await exportAll(storeIn(folder));
    const dataset = 'kv/files/output/lancedb/text_unit_text.lance';
    const [oldest = ''] = archive.names().filter((name) => name.startsWith(`${dataset}/_transactions/0-`));
    archive.delete(oldest);
    const { problems, warnings } = await contentOf(archive);
    expect(problems).toEqual([]);
    expect(warnings).toMatchObject([{ code: 'lance-versions-incomplete', count: 1 }]);
    for (const name of archive.names().filter((candidate) => candidate.startsWith(`${dataset}/data/`)))
      archive.set(name, archive.text(name).slice(1));
    expect((await contentOf(archive)).problems).toEqual([
      expect.stringMatching(/data\/.* with \d+ bytes, but the archive contains \d+/),
    ]);
  });
});

/** The content of all files below a folder, by path. */
async function filesBelow(folder: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  for (const entry of entries.filter((candidate) => candidate.isFile())) {
    const path = join(entry.parentPath, entry.name);
    found[path.slice(folder.length + 1)] = (await readFile(path)).toString('base64');
  }
  return found;
}
