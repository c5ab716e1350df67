import { expect, test } from '@jest/globals';
import { evidenceOf, markRequests } from '../../../shared/profiles/system-evidence.ts';
import { postgresAdapter } from '../../../shared/stores/postgres/adapter.ts';
import { legContext } from '../memory-archive.ts';
import { OwnPostgres } from './own-server.ts';

test('columns of tables reveal the version of LightRAG that made them, and an added one its migration', async () => {
  const server = await OwnPostgres.start();
  try {
    const client = await server.connect();
    await client.query(
      `CREATE TABLE lightrag_doc_status (workspace text, id text, content text, PRIMARY KEY (workspace, id)); INSERT INTO lightrag_doc_status VALUES ('default','a','b');`,
    );
    const layout = { profile: 'lightrag', parameters: {} };
    const { url, username, password } = server.address;
    const scope = postgresAdapter.Scope.parse({
      tables: ['lightrag_*'],
      workspace: { column: 'workspace', in: ['default'] },
    });
    const probe = async () => {
      const store = postgresAdapter.create(
        postgresAdapter.Connection.parse({ url, username, password, tls: false }),
        scope,
        { target: 't', marks: markRequests(layout, 'kv') },
      );
      try {
        return evidenceOf(layout, { kv: await store.probe(legContext()) });
      } finally {
        await store.close();
      }
    };
    expect(await probe()).toMatchObject({ before: '1.4.5' });
    await client.query('ALTER TABLE lightrag_doc_status ADD content_hash text');
    const now = await probe();
    expect([now?.since, now?.before]).toEqual(['1.5.0', undefined]);
    await client.end();
  } finally {
    await server.stop();
  }
});
