import { join } from 'node:path';
import { delimiter } from 'node:path';
import { ROOT } from '../folders.ts';
import type { InstallContext } from '../install/install.ts';
import { installGraphragClients, installPostgresDrivers } from '../install/python.ts';
import { clientOptions } from '../services/postgres.ts';
import type { Neo4jAddress, PostgresAddress } from '../stack.ts';
import { VERSIONS } from '../versions.ts';
import type { Blueprint } from './blueprint.ts';
import { runWriter } from './run-writer.ts';

/** Where LightRAG keeps a knowledge base if it was installed by its Helm chart. */
export interface LightragServers {
  readonly postgres: PostgresAddress;
  readonly neo4j: Neo4jAddress;
}

/** Tables of vectors: LightRAG names them after the model and the number of dimensions. */
export const LIGHTRAG_VECTORS = {
  entities: 'lightrag_vdb_entity_ngrams_384d',
  relationships: 'lightrag_vdb_relation_ngrams_384d',
  chunks: 'lightrag_vdb_chunks_ngrams_384d',
} as const;

/**
 * Writes a knowledge base with LightRAG's own classes: key-value data, document status and vectors in PostgreSQL, the graph
 * in Neo4j. Installs LightRAG the first time. Throws LocalStackError.
 *
 * @param folder for files that are no longer needed afterwards
 */
export async function writeLightrag(
  { postgres, neo4j }: LightragServers,
  blueprint: Blueprint,
  options: { workspace: string; scale: number; folder: string; install: InstallContext },
): Promise<void> {
  const { install, workspace } = options;
  const packages = [await installGraphragClients(install), await installPostgresDrivers(install)];
  const { host = '', port, user = '', password, database = '' } = clientOptions(postgres);
  await runWriter(
    join(ROOT, 'local/knowledge-base/write_lightrag.py'),
    (records) => [records, workspace],
    blueprint,
    {
      ...options,
      what: `LightRAG ${VERSIONS.lightrag}`,
      environment: {
        PYTHONPATH: packages.join(delimiter),
        POSTGRES_HOST: host,
        POSTGRES_PORT: String(port),
        POSTGRES_USER: user,
        POSTGRES_PASSWORD: String(password),
        POSTGRES_DATABASE: database,
        POSTGRES_MAX_CONNECTIONS: '5',
        NEO4J_URI: neo4j.uri,
        NEO4J_USERNAME: neo4j.username,
        NEO4J_PASSWORD: neo4j.password,
      },
    },
  );
}
