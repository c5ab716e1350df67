import { describe, expect, test } from '@jest/globals';
import { proposeProfile } from '../../shared/profiles/propose.ts';

describe('the profile proposed for the contents of stores', () => {
  test('is ngraf-023 if labels and keys follow its naming, with namespace and root', () => {
    const found = {
      graph: ['(:PERSON)', '(:GraphRAG_demo)', '[:RELATED]'],
      vectors: ['chunks', 'entities'],
      kv: ['other', 'nano_graphrag:full_docs:doc-1', 'nano_graphrag:text_chunks:chunk-1'],
    };
    expect(proposeProfile(found)).toEqual({
      profile: 'ngraf-023',
      parameters: { namespace: 'demo', root: 'nano_graphrag' },
      choices: {},
      reasons: ['label (:GraphRAG_demo)', 'keys like nano_graphrag:text_chunks:'],
    });
  });

  test('is lightrag with workspace and model suffix', () => {
    const found = {
      graph: ['(:alpha_beta)', '[:DIRECTED]'],
      vectors: ['lightrag_vdb_entities_stub_8d', 'lightrag_vdb_chunks_stub_8d'],
      kv: ['alpha_beta_doc_status:doc-1', 'alpha_beta_full_docs:doc-1'],
    };
    expect(proposeProfile(found)).toMatchObject({
      profile: 'lightrag',
      parameters: { workspace: 'alpha_beta', model_suffix: 'stub_8d' },
    });
    expect(proposeProfile({ kv: ['doc_status:doc-1'] })).toMatchObject({
      profile: 'lightrag',
      parameters: {},
    });
    expect(proposeProfile({ kv: ['kv_store_doc_status.json', 'kv_store_full_docs.json'] }).profile).toBe(
      'lightrag',
    );
  });

  test('is lightrag with the workspace of rows in tables; "default" is that of LightRAG without one', () => {
    const table = 'public.lightrag_doc_status';
    const rowsOf = (...workspaces: string[]) =>
      proposeProfile({
        graph: ['[:DIRECTED]'],
        kv: [table, ...workspaces.map((name) => `${table} {workspace: ${JSON.stringify(name)}}`)],
      });
    expect(rowsOf('docs "1"')).toMatchObject({
      profile: 'lightrag',
      parameters: { workspace: 'docs "1"' },
      choices: {},
    });
    expect(rowsOf('default')).toMatchObject({ profile: 'lightrag', parameters: {}, choices: {} });
    expect(rowsOf('b', 'default', 'a')).toMatchObject({
      parameters: {},
      choices: { workspace: ['', 'a', 'b'] },
    });
    expect(proposeProfile({ kv: ['public.notes', 'public.notes {workspace: "a"}'] }).profile).toBe('custom');
  });

  test('is that of a system in folders of files', () => {
    expect(
      proposeProfile({
        kv: ['settings.yaml', 'output/entities.parquet', 'output/', 'output/lancedb/', 'prompts/'],
      }),
    ).toMatchObject({ profile: 'ms-graphrag', parameters: {} });
    expect(proposeProfile({ kv: ['settings.yaml', 'prompts/'] }).profile).toBe('custom');
    expect(proposeProfile({ kv: ['.cognee_system/', '.data_storage/'] }).profile).toBe('cognee');
    expect(proposeProfile({ kv: ['alpha/', 'alpha/kv_store_doc_status.json'] })).toMatchObject({
      profile: 'lightrag',
      parameters: { workspace: 'alpha' },
    });
  });

  test('is nano-graphrag with a working directory that results in the same label', () => {
    const found = {
      graph: ['(:__srv__kb__chunk_entity_relation)', '[:RELATED]'],
      kv: ['kv_store_community_reports.json'],
    };
    expect(proposeProfile(found)).toMatchObject({
      profile: 'nano-graphrag',
      parameters: { working_dir: '__srv__kb' },
    });
  });

  test('leaves a parameter to the operator where several knowledge bases share the servers', () => {
    const found = { graph: ['(:GraphRAG_one)', '(:GraphRAG_two)'] };
    expect(proposeProfile(found)).toEqual({
      profile: 'ngraf-023',
      parameters: {},
      choices: { namespace: ['one', 'two'] },
      reasons: ['label (:GraphRAG_one), (:GraphRAG_two): choose a namespace'],
    });
  });

  test('is custom if nothing is recognized', () => {
    expect(proposeProfile({ graph: ['(:Movie)'], kv: [] })).toMatchObject({
      profile: 'custom',
      parameters: {},
    });
    expect(proposeProfile({}).profile).toBe('custom');
  });

  const graph = (...names: string[]) => ({ graph: names });

  test('is graphiti if nodes are episodes, with its group if there is one', () => {
    const names = ['(:Entity)', '(:Episodic)', '[:MENTIONS]', '[:RELATES_TO]'];
    expect(proposeProfile(graph('{group_id: "a \\"b\\""}', ...names))).toEqual({
      profile: 'graphiti',
      parameters: { group_ids: ['a "b"'] },
      choices: {},
      reasons: ['label (:Episodic)', 'relationships [:RELATES_TO]', 'property {group_id: "a \\"b\\""}'],
    });
    expect(proposeProfile(graph('{group_id: ""}', ...names)).parameters).toEqual({ group_ids: [''] });
    expect(proposeProfile(graph('{group_id: "a"}', '{group_id: "b"}', ...names))).toMatchObject({
      parameters: {},
      choices: { group_ids: ['["a"]', '["b"]'] },
      reasons: expect.arrayContaining(['property {group_id: "a"}, {group_id: "b"}: choose a group_ids']),
    });
  });

  test.each([
    [
      'neo4j-graphrag',
      graph('(:__KGBuilder__)', '(:__Entity__)', '(:Chunk)', '[:FROM_CHUNK]', '[:NEXT_CHUNK]'),
    ],
    ['neo4j-graphrag', graph('(:__KGBuilder__)', '(:Chunk)', '[:NEXT_CHUNK]')],
    ['neo4j-graphrag', graph('(:__Entity__)', '(:Chunk)', '[:HAS_ENTITY]', '[:PART_OF]', '[:NEXT_CHUNK]')],
    ['llamaindex', graph('(:__Node__)', '(:__Entity__)', '(:Chunk)', '[:MENTIONS]')],
    ['langchain', graph('(:__Entity__)', '(:Document)', '[:MENTIONS]')],
    ['langchain', graph('(:__Entity__)')],
    ['mem0', { vectors: ['mem0', 'mem0_entities'], kv: ['history.db'] }],
    ['mem0', { vectors: ['mem0'] }],
    ['custom', { kv: ['history.db'] }],
    ['custom', graph('(:Article)', '[:MENTIONS]', '[:RELATES_TO]', '[:NEXT_CHUNK]')],
  ])('is %s for the names that it uses: %#', (profile, found) => {
    expect(proposeProfile(found).profile).toBe(profile);
  });
});
