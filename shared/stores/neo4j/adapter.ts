import { BaseStore } from '../base-store.ts';
import { defineAdapter } from '../define-adapter.ts';
import type { Shard, StoreProbe } from '../export-step.ts';
import { type Cursor, DONE, type LegContext, type LegResult } from '../leg.ts';
import type { RestoreInput, RestoreLeg, VerifyResult } from '../restore-leg.ts';
import { admitGraph } from './admits.ts';
import { tidyUp } from './auxiliary.ts';
import { checkGraph } from './check.ts';
import { clearGraph } from './clear.ts';
import { graphComparison } from './comparison.ts';
import { Neo4jConnection, Neo4jScope } from './connection.ts';
import { textBatches } from './entries.ts';
import { exportShard } from './export.ts';
import { neo4jFacts } from './facts.ts';
import { loadGraph } from './load.ts';
import { graphNames, probeGraph } from './probe.ts';
import { missingNodes } from './references.ts';
import { narrowGraph, type ScopeText, scopeText } from './scope.ts';
import { graphScratch, graphsOverlap, occupiedGraph, removeGraph } from './scratch.ts';
import { Neo4jServer } from './server.ts';
import { planShards } from './shards.ts';
import type { Neo4jSite } from './site.ts';
import { GraphQuestion, graphQuestions, queryGraph } from './smoke.ts';
import { verifyGraph } from './verify.ts';
import { routeGraph, viewGraph } from './view.ts';

/**
 * The graph of a knowledge base in Neo4j 5 or later, over Bolt. See `docs/stores/neo4j.md` for what is saved and how.
 */
export const neo4jAdapter = defineAdapter({
  facts: neo4jFacts,
  versionNotes: {
    newer:
      'indexes are created with its own providers, and its defaults for settings that the archive does not contain',
    older:
      'constraints, indexes and values that it does not support are refused or left out, as this inspection reports',
  },
  Connection: Neo4jConnection,
  Scope: Neo4jScope,
  create: (connection, scope, { target }) =>
    new Neo4jStore(new Neo4jServer(connection, target), scopeText(scope)),
  narrow: narrowGraph,
  lacks: ({ label }, { nodes }) => (label !== undefined && !nodes ? [`node with label "${label}"`] : []),
  Smoke: GraphQuestion,
  questions: graphQuestions,
  route: routeGraph,
  view: viewGraph,
  overlaps: graphsOverlap,
  scratch: graphScratch,
  check: checkGraph,
  comparison: graphComparison,
  values: async (archive, _scope, { thing, field }) =>
    textBatches(archive, thing === 'nodes' ? 'nodes' : 'relationships', field),
});

class Neo4jStore extends BaseStore {
  readonly #server: Neo4jServer;
  readonly #scope: ScopeText;

  constructor(server: Neo4jServer, scope: ScopeText) {
    super(neo4jAdapter);
    this.#server = server;
    this.#scope = scope;
  }

  probe(context: LegContext): Promise<StoreProbe> {
    return probeGraph(this.#server, this.#scope, context);
  }

  override names({ signal }: LegContext): Promise<readonly string[]> {
    return graphNames(this.#server, signal);
  }

  override plan(context: LegContext, probe: StoreProbe): Promise<Shard[]> {
    return planShards(this.#server, this.#scope, probe, context.signal);
  }

  export(shard: Shard, cursor: Cursor | null, context: LegContext) {
    return exportShard(this.#server, this.#scope, shard, cursor, context);
  }

  override admits(restore: RestoreInput): Promise<readonly string[]> {
    return admitGraph(this.#server, this.#scope, restore);
  }

  clear(leg: RestoreLeg): Promise<LegResult> {
    return clearGraph(this.#server, this.#scope, leg);
  }

  async load(leg: RestoreLeg): Promise<LegResult> {
    return loadGraph(await this.#site(leg), leg.cursor);
  }

  async verify(leg: RestoreLeg): Promise<VerifyResult> {
    return verifyGraph(await this.#site(leg), leg.cursor);
  }

  override async missing({ field }: { field: string }, values: readonly string[], context: LegContext) {
    return missingNodes(this.#server, this.#scope, field, values, context);
  }

  override smoke(question: unknown, context: LegContext): Promise<string> {
    return queryGraph(this.#server, this.#scope, question, context);
  }

  override occupied(context: LegContext): Promise<readonly string[]> {
    return occupiedGraph(this.#server, this.#scope, context);
  }

  override remove(context: LegContext): Promise<LegResult> {
    return removeGraph(this.#server, this.#scope, context);
  }

  override async finish(context: LegContext): Promise<LegResult> {
    const done = await tidyUp(this.#server, this.#scope, context);
    return done ? DONE : { ...DONE, cursor: { tidying: true } };
  }

  override close(): Promise<void> {
    return this.#server.close();
  }

  async #site({ archive, options, context }: RestoreInput): Promise<Neo4jSite> {
    const version = await this.#server.version(context.signal);
    // The last write may be from another leg, in another process.
    await this.#server.catchUp(context.signal);
    return { server: this.#server, scope: this.#scope, version, archive, options, context };
  }
}
