import neo4j, { type Driver, type Session } from 'neo4j-driver';
import { batches } from './batches.ts';
import type { Blueprint } from './blueprint.ts';
import { type NodeRecord, nodes, type RelationshipRecord, relationships } from './copies.ts';
import type { Layout } from './layout.ts';

/** Records in one transaction. */
const BATCH = 2000;
/** Maximum seconds until the constraint's index is online. */
const INDEX_TIMEOUT_SECONDS = 300;

/** Writes the graph: the constraint first, because each following `MERGE` uses its index to find the node. */
export async function writeGraph(
  driver: Driver,
  database: string | undefined,
  blueprint: Blueprint,
  options: {
    scale: number;
    layout: Layout;
    report: (unit: string, written: number) => void;
    signal: AbortSignal;
  },
): Promise<void> {
  const label = quote(options.layout.label);
  const session = driver.session(database === undefined ? {} : { database });
  try {
    await session.run(`CREATE CONSTRAINT ${quote(`${options.layout.label}_id`)} IF NOT EXISTS
      FOR (n:${label}) REQUIRE n.id IS UNIQUE`);
    await session.run('CALL db.awaitIndexes($seconds)', { seconds: neo4j.int(INDEX_TIMEOUT_SECONDS) });
    for (const batch of batches(nodes(blueprint, options.scale), BATCH)) {
      options.signal.throwIfAborted();
      await writeNodes(session, label, batch);
      options.report('nodes', batch.length);
    }
    for (const batch of batches(relationships(blueprint, options.scale), BATCH)) {
      options.signal.throwIfAborted();
      await writeRelationships(session, label, batch);
      options.report('relationships', batch.length);
    }
  } finally {
    await session.close();
  }
}

/** Before Neo4j 5.26, a label can't be a parameter, so each type of entity has its own statement. */
async function writeNodes(session: Session, label: string, batch: readonly NodeRecord[]): Promise<void> {
  for (const [type, records] of Map.groupBy(batch, (record) => record.type)) {
    const rows = records.map(({ properties }) => ({
      ...properties,
      communityIds: properties.communityIds.map((id) => neo4j.int(id)),
    }));
    await session.executeWrite((transaction) =>
      transaction.run(
        `UNWIND $rows AS row MERGE (n:${label} {id: row.id}) SET n:${quote(type)} SET n = row`,
        {
          rows,
        },
      ),
    );
  }
}

async function writeRelationships(
  session: Session,
  label: string,
  batch: readonly RelationshipRecord[],
): Promise<void> {
  const rows = batch.map(({ from, to, properties }) => ({
    from,
    to,
    properties: { ...properties, order: neo4j.int(properties.order) },
  }));
  await session.executeWrite((transaction) =>
    transaction.run(
      `UNWIND $rows AS row
       MATCH (s:${label} {id: row.from}) MATCH (t:${label} {id: row.to})
       MERGE (s)-[r:RELATED]->(t) SET r = row.properties`,
      { rows },
    ),
  );
}

/** Quotes any name as a Cypher identifier. */
function quote(name: string): string {
  return `\`${name.replaceAll('`', '``')}\``;
}
