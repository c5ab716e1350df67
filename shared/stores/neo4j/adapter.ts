import { BaseStore } from '../base-store.ts';
import { defineAdapter } from '../define-adapter.ts';
import type { Shard, StoreProbe } from '../export-step.ts';
import { type Cursor, DONE, type LegContext, type LegResult } from '../leg.ts';
import type { StoreProof } from '../proof.ts';
import type { RestoreInput, RestoreLeg, VerifyResult } from '../restore-leg.ts';
import type { StoreDependencies } from '../store.ts';
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
import { proveGraph } from './proof.ts';
import { missingInGraph } from './references.ts';
import { type IndexedTokens, narrowGraph, type ScopeText, scopeText } from './scope.ts';
import { graphScratch, graphsOverlap, occupiedGraph, removeGraph } from './scratch.ts';
import { Neo4jServer } from './server.ts';
import { planShards } from './shards.ts';
import type { Neo4jSite } from './site.ts';
import { GraphQuestion, graphQuestions, queryGraph } from './smoke.ts';
import { indexedTokens } from './tenants.ts';
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
  create: (connection, scope, { target, ...sought }) =>
    new Neo4jStore(new Neo4jServer(connection, target), scope, sought),
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

interface FoundScope {
  readonly scope: ScopeText;
  readonly indexed: IndexedTokens;
}

async function findScope(server: Neo4jServer, scope: Neo4jScope, signal: AbortSignal): Promise<FoundScope> {
  const none: IndexedTokens = { labels: [], types: [] };
  const indexed = scope.property === undefined ? none : await indexedTokens(server, scope.property, signal);
  return { scope: scopeText(scope, indexed), indexed };
}

class Neo4jStore extends BaseStore {
  readonly #server: Neo4jServer;
  readonly #scope: Neo4jScope;
  readonly #sought: Pick<StoreDependencies, 'countedLabels' | 'marks'>;
  #found: Promise<FoundScope> | undefined;

  constructor(
    server: Neo4jServer,
    scope: Neo4jScope,
    sought: Pick<StoreDependencies, 'countedLabels' | 'marks'> = {},
  ) {
    super(neo4jAdapter);
    this.#server = server;
    this.#scope = scope;
    this.#sought = sought;
  }

  async probe(context: LegContext): Promise<StoreProbe> {
    const { scope, indexed } = await this.#find(context);
    return probeGraph(this.#server, scope, indexed, this.#sought, context);
  }

  prove(context: LegContext): Promise<StoreProof> {
    return proveGraph(this.#server, context);
  }

  override names({ signal }: LegContext): Promise<readonly string[]> {
    return graphNames(this.#server, signal);
  }

  override async plan(context: LegContext, probe: StoreProbe): Promise<Shard[]> {
    return planShards(this.#server, await this.#scopeText(context), probe, context.signal);
  }

  async *export(shard: Shard, cursor: Cursor | null, context: LegContext) {
    yield* exportShard(this.#server, await this.#scopeText(context), shard, cursor, context);
  }

  override async admits(restore: RestoreInput): Promise<readonly string[]> {
    return admitGraph(this.#server, await this.#scopeText(restore.context), restore);
  }

  async clear(leg: RestoreLeg): Promise<LegResult> {
    return clearGraph(this.#server, await this.#scopeText(leg.context), leg);
  }

  async load(leg: RestoreLeg): Promise<LegResult> {
    return loadGraph(await this.#site(leg), leg.cursor);
  }

  async verify(leg: RestoreLeg): Promise<VerifyResult> {
    return verifyGraph(await this.#site(leg), leg.cursor);
  }

  override async missing(
    what: { readonly thing: string; readonly field: string },
    values: readonly string[],
    context: LegContext,
  ) {
    return missingInGraph(this.#server, await this.#scopeText(context), what, values, context);
  }

  override smoke(question: unknown, context: LegContext): Promise<string> {
    return queryGraph(this.#server, scopeText(this.#scope), question, context);
  }

  override async occupied(context: LegContext): Promise<readonly string[]> {
    return occupiedGraph(this.#server, await this.#scopeText(context), context);
  }

  override async remove(context: LegContext): Promise<LegResult> {
    return removeGraph(this.#server, await this.#scopeText(context), context);
  }

  override async finish(context: LegContext): Promise<LegResult> {
    const done = await tidyUp(this.#server, scopeText(this.#scope), context);
    return done ? DONE : { ...DONE, cursor: { tidying: true } };
  }

  override close(): Promise<void> {
    return this.#server.close();
  }

  async #site({ archive, options, context }: RestoreInput): Promise<Neo4jSite> {
    const version = await this.#server.version(context.signal);
    // The last write may be from another leg, in another process.
    await this.#server.catchUp(context.signal);
    const scope = await this.#scopeText(context);
    return { server: this.#server, scope, version, archive, options, context };
  }

  async #scopeText(context: Pick<LegContext, 'signal'>): Promise<ScopeText> {
    return (await this.#find(context)).scope;
  }

  /** The scope, with the indexes that find its nodes: looked up once, since queries are right without them, too. */
  #find({ signal }: Pick<LegContext, 'signal'>): Promise<FoundScope> {
    this.#found ??= findScope(this.#server, this.#scope, signal).catch((error: unknown) => {
      this.#found = undefined;
      throw error;
    });
    return this.#found;
  }
}
