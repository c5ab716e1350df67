import { describe, expect, test } from '@jest/globals';
import {
  findProfile,
  PROFILE_NAMES,
  profileScopes,
  profileStatistics,
} from '../../shared/profiles/profiles.ts';
import { KeySpace, RedisScope } from '../../shared/stores/redis/scope.ts';

const tally = (count: number) => ({ count, digest: '0'.repeat(64) });

describe('profiles', () => {
  test('the NGRAF-023 fork: label and keys by namespace, collections by name', () => {
    expect(profileScopes('ngraf-023', { namespace: 'demo' })).toEqual({
      graph: { label: 'GraphRAG_demo', key_property: 'id' },
      vectors: { collections: ['entities', 'chunks'] },
      kv: { prefix: 'nano_graphrag:', separator: ':' },
    });
  });

  test('nano-graphrag: the label is derived from the working directory as its own storage does', () => {
    const { graph } = profileScopes('nano-graphrag', { working_dir: './nano-graphrag_cache.1/x' }, 'files');
    expect(graph).toMatchObject({ label: '___nano_graphrag_cache_1__x__chunk_entity_relation' });
  });

  test('nano-graphrag: a colon in the working directory, as in a time of day, becomes an underscore', () => {
    const working_dir = './nano_graphrag_cache_2025-03-20-12:34:56';
    expect(profileScopes('nano-graphrag', { working_dir }, 'files').graph).toMatchObject({
      label: '___nano_graphrag_cache_2025_03_20_12_34_56__chunk_entity_relation',
    });
  });

  test('LightRAG has a workspace for each store, which the environment of LightRAG overrides', () => {
    const { graph, vectors, kv } = profileScopes('lightrag', {
      workspace: 'docs',
      graph_workspace: 'prod',
      vectors_workspace: '',
    });
    expect(graph).toMatchObject({ label: 'prod' });
    expect(vectors).toMatchObject({ filter: { key: 'workspace_id', value: '_' } });
    expect(kv).toMatchObject({ prefix: 'docs_' });
    expect(profileScopes('lightrag', { workspace: 'docs', kv_workspace: 'kb' }).kv).toMatchObject({
      prefix: 'kb_',
    });
  });

  test('nano-graphrag has no Redis, and says so instead of saving a whole server', () => {
    expect(() => profileScopes('nano-graphrag', {}, 'redis')).toThrow('keeps key-value data in files');
  });

  test('LightRAG without a workspace: label base, and the points that it marks with "_"', () => {
    const { graph, vectors } = profileScopes('lightrag', {});
    expect(graph).toMatchObject({ label: 'base' });
    expect(vectors).toEqual({
      collections: ['lightrag_vdb_entities', 'lightrag_vdb_relationships', 'lightrag_vdb_chunks'],
      filter: { key: 'workspace_id', value: '_' },
      point_ids: { scheme: 'sha256-uuid4', field: 'id' },
    });
  });

  test('a LightRAG workspace never includes another one whose name starts with it', () => {
    const space = new KeySpace(RedisScope.parse(profileScopes('lightrag', { workspace: 'a' }).kv));
    expect(space.namespaceOf('a_full_docs:doc-1')).toBe('full_docs');
    expect(space.namespaceOf('a_b_full_docs:doc-1')).toBeUndefined();
    expect(space.namespaceOf('full_docs:doc-1')).toBeUndefined();
    expect(space.namespaceOf('a_doc_status__sched:status:pending')).toBe('doc_status');
    expect(space.namespaceOf('a_b_doc_status__sched:status:pending')).toBeUndefined();
    expect(space.reasonOf('a_b_full_docs:doc-1')).toBe('outside');
  });

  test('a LightRAG workspace with pattern characters matches only itself', () => {
    const space = new KeySpace(RedisScope.parse(profileScopes('lightrag', { workspace: 'a*[b]' }).kv));
    expect(space.namespaceOf('a*[b]_doc_status__sched:x')).toBe('doc_status');
    expect(space.namespaceOf('axb_doc_status__sched:x')).toBeUndefined();
    expect(space.pattern).toBe('a\\*\\[b\\]_*');
  });

  test('invalid parameters are named, with where to correct them', () => {
    expect(() => profileScopes('ngraf-023', {})).toThrow(
      '"parameters" of profile ngraf-023 is not valid: namespace',
    );
    expect(() => profileScopes('custom', { typo: 1 })).toThrow('typo');
    expect(() => profileScopes('unknown', {})).toThrow('There is no profile "unknown"');
  });

  test('statistics count documents, chunks, entities and vectors', () => {
    const statistics = profileStatistics(
      'ngraf-023',
      {},
      {
        kv: {
          'keys:full_docs': tally(3),
          'keys:text_chunks': tally(30),
          'keys:community_reports': tally(4),
          'keys:_other': tally(99),
        },
        graph: { nodes: tally(20), relationships: tally(50), schema: tally(1) },
        vectors: { 'points:entities': tally(20), 'points:chunks': tally(30), configurations: tally(2) },
      },
    );
    expect(statistics).toEqual({
      documents: 3,
      chunks: 30,
      communities: 4,
      cache_entries: 0,
      entities: 20,
      relationships: 50,
      vectors: 50,
    });
    expect(profileStatistics('ngraf-023', {}, { config: { settings: tally(5) } })).toEqual({});
  });

  test('Graphiti: groups by a property, which several targets of one database can share', () => {
    expect(profileScopes('graphiti', { group_ids: ['a', ''] })).toEqual({
      graph: { property: 'group_id', in: ['a', ''], key_property: 'uuid' },
    });
    expect(profileScopes('graphiti', {}).graph).toEqual({ key_property: 'uuid' });
    expect(() => profileScopes('graphiti', { group_ids: [] })).toThrow('group_ids');
  });

  test.each([
    ['neo4j-graphrag', {}],
    ['llamaindex', { key_property: 'id' }],
    ['langchain', { key_property: 'id' }],
  ])('%s: a whole database, or one label of it', (name, graph) => {
    expect(profileScopes(name, {})).toEqual({ graph });
    expect(profileScopes(name, { label: 'L' })).toEqual({ graph: { label: 'L', ...graph } });
  });

  test('statistics of a system with several kinds of nodes are those of their labels', () => {
    const tallies = { graph: { nodes: tally(9), relationships: tally(5) } };
    const labels = { Episodic: 3, Entity: 4 };
    expect(profileStatistics('graphiti', {}, tallies, labels)).toEqual({
      documents: 3,
      entities: 4,
      communities: 0,
      relationships: 5,
    });
    expect(profileStatistics('graphiti', {}, tallies)).toEqual({ relationships: 5 });
    expect(profileStatistics('graphiti', {}, { config: { settings: tally(5) } }, labels)).toEqual({});
  });

  test('systems in folders of files are selected by patterns, without credentials, and refuse another backend', () => {
    expect(profileScopes('ms-graphrag', {}, 'files')).toEqual({
      kv: { include: ['**'], exclude: ['**/.env', 'logs/**'] },
    });
    expect(profileScopes('ms-graphrag', { cache: false }, 'files').kv?.exclude).toContain('cache/**');
    expect(profileScopes('cognee', { system_folder: 'system' }, 'files')).toEqual({
      kv: { include: ['system/**', '.data_storage/**'], exclude: ['**/.env'] },
    });
    for (const profile of ['ms-graphrag', 'cognee'])
      expect(() => profileScopes(profile, {}, 'redis')).toThrow(`Profile ${profile} keeps its data in files`);
    expect(() => profileScopes('cognee', { data_folder: '../x' }, 'files')).toThrow(
      'must be one folder name',
    );
  });

  test('the two sides of every reference differ, and each profile is listed', () => {
    for (const name of PROFILE_NAMES) {
      for (const { from, to } of findProfile(name).references) expect(from).not.toEqual(to);
    }
    expect(PROFILE_NAMES).toEqual([
      'nano-graphrag',
      'ngraf-023',
      'lightrag',
      'ms-graphrag',
      'cognee',
      'graphiti',
      'neo4j-graphrag',
      'llamaindex',
      'langchain',
      'mem0',
      'custom',
    ]);
  });
});
