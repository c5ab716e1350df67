import neo4j from 'neo4j-driver';
import pg from 'pg';
import { LIGHTRAG_VECTORS, type LightragServers } from '../knowledge-base/lightrag.ts';
import { clientOptions } from '../services/postgres.ts';
import { formatCount } from './screen.ts';

/**
 * Damages a knowledge base of LightRAG in PostgreSQL and Neo4j: missing, changed and additional rows, nodes and relationships, a
 * table that is gone with its indexes. Other workspaces lose that table too. Returns a description in lines.
 */
export async function damageLightrag(servers: LightragServers, workspace: string): Promise<string[]> {
  const done = await Promise.all([damageTables(servers, workspace), damageGraph(servers, workspace)]);
  return done.flat();
}

async function damageTables({ postgres }: LightragServers, workspace: string): Promise<string[]> {
  const client = new pg.Client(clientOptions(postgres));
  await client.connect();
  const run = async (statement: string) =>
    formatCount((await client.query(statement, [workspace])).rowCount ?? 0);
  const noise = `ARRAY(SELECT (n % 7 - 3) / 10.0 FROM generate_series(1, 384) n)::vector`;
  try {
    const deleted = await run('DELETE FROM lightrag_doc_full WHERE workspace = $1');
    const changed = await run(`UPDATE lightrag_doc_chunks SET content = 'lost' WHERE workspace = $1`);
    const vectors = await run(
      `UPDATE ${LIGHTRAG_VECTORS.entities} SET content_vector = ${noise} WHERE workspace = $1`,
    );
    await client.query(`DROP TABLE ${LIGHTRAG_VECTORS.relationships}`);
    await run(`UPDATE lightrag_doc_status SET status = 'failed' WHERE workspace = $1`);
    await run("INSERT INTO lightrag_doc_full (workspace, id, content) VALUES ($1, 'intruder', 'intruder')");
    return [
      `PostgreSQL  deleted ${deleted} documents, overwrote ${changed} chunks and ${vectors} vectors of entities,`,
      '            dropped the table with vectors of relationships, added an intruder',
    ];
  } finally {
    await client.end();
  }
}

async function damageGraph({ neo4j: server }: LightragServers, workspace: string): Promise<string[]> {
  const driver = neo4j.driver(server.uri, neo4j.auth.basic(server.username, server.password));
  const label = `\`${workspace}\``;
  const count = async (statement: string) => {
    const { records } = await driver.executeQuery(statement);
    return formatCount(Number(records[0]?.get('count') ?? 0));
  };
  try {
    const deleted = await count(
      `MATCH (n:${label} {entity_type: 'PACKAGE'}) DETACH DELETE n RETURN count(*) AS count`,
    );
    const changed = await count(
      `MATCH (n:${label} {entity_type: 'KEYWORD'}) SET n.description = 'lost' RETURN count(*) AS count`,
    );
    await driver.executeQuery(`CREATE (:${label} {entity_id: 'INTRUDER'})`);
    return [
      `Neo4j       deleted ${deleted} packages with every relationship, rewrote ${changed} keywords, added an intruder`,
    ];
  } finally {
    await driver.close();
  }
}
