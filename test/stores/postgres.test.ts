import type { Client } from 'pg';
import { PostgresStore, postgresAdapter } from '../../shared/stores/postgres/adapter.ts';
import { type Conformance, conformsToPort } from './conformance.ts';
import { plant, removeTables } from './postgres/knowledge-base.ts';
import { OwnPostgres } from './postgres/own-server.ts';

/** A store with smaller pieces of work. */
const SMALL = { entryBytes: 6_000, pageRows: 60, pageBytes: 20_000 };

/** Everything in a schema, then one of two workspaces in the same tables: each on a server of its own. */
function conforms(
  kind: string,
  workspace: object | undefined,
  own: (client: Client, open: (scope: object) => PostgresStore) => Partial<Conformance>,
): void {
  conformsToPort(kind, async (): Promise<Conformance> => {
    const server = await OwnPostgres.start();
    const client = await server.connect();
    await client.query('CREATE EXTENSION vector; CREATE EXTENSION pg_trgm; CREATE ROLE reader');
    const { url, username, password } = server.address;
    const exclude = workspace ? { exclude: ['types'], workspace } : {};
    const scope = postgresAdapter.Scope.parse({ schema: 'kb', ...exclude });
    const open = (connection: object, within: object = scope) =>
      new PostgresStore(
        postgresAdapter.Connection.parse({ url, username, password, tls: false, ...connection }),
        postgresAdapter.Scope.parse(within),
        'test',
        SMALL,
      );
    return {
      open: () => open({}),
      wrongPassword: 'not-the-password',
      openWithWrongPassword: () => open({ password: 'not-the-password' }),
      openUnreachable: () => open({ url: 'postgresql://127.0.0.1:1/postgres' }),
      seed: () => plant(client, 'kb', 'reader'),
      empty: () => removeTables(client, 'kb'),
      change: async () => {
        await client.query(
          "UPDATE kb.docs SET content = 'changed' WHERE workspace = 'main' AND id LIKE 'doc-1%'",
        );
        await client.query(`INSERT INTO kb."Odd ""Näme" VALUES ('main', 1000, 'new')`);
        await client.query("DELETE FROM kb.chunks WHERE workspace = 'main' AND id LIKE 'chunk-doc-2%'");
      },
      loseRecord: async () => {
        await client.query("DELETE FROM kb.chunks WHERE workspace = 'main' AND id LIKE 'chunk-doc-20%'");
      },
      changeRecord: async () => {
        const [row] = [
          "UPDATE kb.chunks SET dense = '[0,0,0,0,0,0,0,1]' WHERE workspace = 'main' AND id LIKE 'chunk-doc-20%'",
        ];
        await client.query(row);
      },
      addRecord: async () => {
        await client.query("INSERT INTO kb.empty (workspace) VALUES ('main')");
      },
      leftovers: async () => {
        const { rows } = await client.query("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'ngbak%'");
        return rows.map(({ nspname }) => nspname);
      },
      content: () => server.dump('kb'),
      merges: true,
      close: () => server.stop(),
      ...own(client, (within) => open({}, within)),
    };
  });
}

conforms('postgres (schema)', undefined, (_client, open) => ({
  compared: {
    scope: postgresAdapter.Scope.parse({ schema: 'kb' }),
    open: (scope) => open(Object(scope)),
    changes: { 'rows:docs': [0, 42, 0], 'rows:chunks': [8, 0, 0], 'rows:Odd "Näme': [0, 0, 1] },
  },
}));
conforms('postgres (workspace)', { column: 'workspace', in: ['main'] }, (client) => ({
  empty: async () => {
    await plant(client, 'kb', 'reader');
    const tables = ['chunks', 'docs', 'empty', '"Odd ""Näme"'];
    for (const table of tables) await client.query(`DELETE FROM kb.${table} WHERE workspace = 'main'`);
  },
}));
