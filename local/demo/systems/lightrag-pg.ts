import { type Blueprint, drawBlueprint } from '../../knowledge-base/blueprint.ts';
import { countRecords } from '../../knowledge-base/copies.ts';
import { type LightragServers, writeLightrag } from '../../knowledge-base/lightrag.ts';
import { readInstalledPackages } from '../../knowledge-base/packages.ts';
import { readEverything } from '../../proof/proof.ts';
import { VERSIONS } from '../../versions.ts';
import { damageLightrag } from '../damage-lightrag.ts';
import { refuseFilledStores } from '../empty.ts';
import { formatCount } from '../screen.ts';
import { startServers } from '../start-servers.ts';
import { type DemoSystem, NAMESPACE, type RunningSystem } from '../system.ts';
import { installing } from './installing.ts';

/** LightRAG as its Helm chart installs it. */
export const lightragPg: DemoSystem = {
  servers: ['PostgreSQL', 'Neo4j'],
  proves: 'row, value, vector, table, constraint, index, node, relationship and property',
  async start(options): Promise<RunningSystem> {
    const stack = await startServers(['postgres', 'neo4j', 'aws'], options);
    return { stack, ...lightragIn(stack, NAMESPACE, stack.logs) };
  },
};

/** The knowledge base of a workspace in these servers; `logs` is a folder. */
export function lightragIn(
  { postgres, neo4j }: LightragServers,
  workspace: string,
  logs: string,
): Omit<RunningSystem, 'stack'> {
  const servers = {
    neo4j: { uri: neo4j.uri, username: neo4j.username, password: neo4j.password },
    postgres: {
      url: postgres.url,
      username: postgres.username,
      password: postgres.password,
      tls: postgres.tls,
    },
  };
  return {
    target: {
      profile: 'lightrag',
      parameters: { workspace },
      stores: { graph: { kind: 'neo4j' }, kv: { kind: 'postgres' } },
    },
    secrets: { graph: servers.neo4j, kv: servers.postgres },
    refuseFilled: () => refuseFilledStores(servers),
    async load({ scale, folder, view, signal, blueprint: given }) {
      const blueprint = given ?? (await drawBlueprint(readInstalledPackages()));
      const counts = {
        ...countRecords(blueprint, scale),
        relationships: connectedPairs(blueprint) * scale,
      };
      view.live([`LightRAG ${VERSIONS.lightrag} writes its tables and its graph`]);
      const install = installing(view, logs, signal);
      await writeLightrag(servers, blueprint, { workspace, scale, folder, install });
      const { documents, chunks, entities, relationships } = counts;
      view.line(
        `${formatCount(documents)} READMEs in ${formatCount(chunks)} chunks, written by LightRAG ${VERSIONS.lightrag}'s own classes:`,
      );
      view.line('PostgreSQL  key-value data, document status and vectors, in tables with HNSW indexes');
      view.line(`Neo4j       ${formatCount(entities)} nodes, ${formatCount(relationships)} relationships`);
      return counts;
    },
    damage: () => damageLightrag(servers, workspace),
    read: (folder) =>
      readEverything(servers, {
        folder,
        scope: { label: workspace, workspace: { column: 'workspace', value: workspace } },
      }),
  };
}

/** LightRAG has one relationship between two entities, in either direction. */
function connectedPairs({ relationships }: Blueprint): number {
  return new Set(relationships.map(({ from, to }) => `${Math.min(from, to)} ${Math.max(from, to)}`)).size;
}
