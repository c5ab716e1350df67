/** A graph of configurable size, as GraphRAG systems store it, for the benchmarks of Neo4j. */
import neo4j, { type Driver } from 'neo4j-driver';

/** The label of every node of the sample. */
export const LABEL = 'Bench';
const BATCH = 2000;

/** Removes the sample from the database. */
export async function clear(driver: Driver): Promise<void> {
  const session = driver.session();
  await session.run(`MATCH (n:${LABEL}) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 2000 ROWS`);
  await session.close();
}

/**
 * Loads the sample like a carefully written script: an index, then batches with dynamic labels and types. Returns
 * seconds.
 */
export async function bareLoad(driver: Driver, nodes: number, relationships: number): Promise<number> {
  const session = driver.session();
  const start = performance.now();
  await session.run(`CREATE CONSTRAINT bare IF NOT EXISTS FOR (n:Bare) REQUIRE n.bare IS UNIQUE`);
  for (let at = 0; at < nodes; at += BATCH) {
    const rows = Array.from({ length: Math.min(BATCH, nodes - at) }, (_, index) => ({
      labels: [LABEL, 'Entity'],
      properties: { ...node(at + index), bare: String(at + index) },
    }));
    const create = 'UNWIND $rows AS row CREATE (n:Bare:$(row.labels)) SET n = row.properties';
    await session.executeWrite((transaction) => transaction.run(create, { rows }));
  }
  for (let at = 0; at < relationships; at += BATCH) {
    const rows = Array.from({ length: Math.min(BATCH, relationships - at) }, (_, index) => {
      const { from, to, ...properties } = relationship(at + index, nodes);
      return { from: String(from), to: String(to), properties };
    });
    const create = `UNWIND $rows AS row MATCH (a:Bare {bare: row.from}) MATCH (b:Bare {bare: row.to})
      CREATE (a)-[r:$('RELATED')]->(b) SET r = row.properties`;
    await session.executeWrite((transaction) => transaction.run(create, { rows }));
  }
  const seconds = (performance.now() - start) / 1000;
  await session.run('DROP CONSTRAINT bare');
  await session.close();
  return seconds;
}

function node(index: number) {
  return {
    id: `ENTITY ${index}`,
    entity_type: 'concept',
    description: `What is known about entity number ${index}, in a sentence or two, as an extraction model would put it down.`,
    source_id: `chunk-${index}<SEP>chunk-${index * 7}`,
    rank: neo4j.int(index % 100),
  };
}

function relationship(index: number, nodes: number) {
  return {
    from: (index * 7919) % nodes,
    to: (index * 104_729 + 13) % nodes,
    weight: (index % 10) + 0.5,
    description: `How the two are related, number ${index}`,
    source_id: `chunk-${index}`,
  };
}
