import { BaseStore } from '../base-store.ts';
import { defineAdapter } from '../define-adapter.ts';
import type { ExportStep, Shard, StoreProbe } from '../export-step.ts';
import { type Cursor, DONE, type LegContext, type LegResult } from '../leg.ts';
import type { StoreProof } from '../proof.ts';
import type { LabelLeg, RestoreInput, RestoreLeg, VerifyResult } from '../restore-leg.ts';
import { NAMES_MAX, type StoreDependencies } from '../store.ts';
import { admitQdrant } from './admits.ts';
import { checkVectors } from './check.ts';
import { clearQdrant, removeTemporary } from './clear.ts';
import { QdrantClient } from './client.ts';
import { listCollections } from './collections.ts';
import { vectorsComparison } from './comparison.ts';
import { QdrantConnection, QdrantScope } from './connection.ts';
import { type ExportLimits, exportQdrant, planQdrant } from './export.ts';
import { qdrantFacts } from './facts.ts';
import { labelSnapshots } from './label.ts';
import { loadQdrant } from './load.ts';
import { probeQdrant, readVersion } from './probe.ts';
import { proveVectors } from './proof.ts';
import { vectorValues } from './references.ts';
import { narrowVectors } from './scope.ts';
import { occupiedCollections, removeCollections, vectorsOverlap, vectorsScratch } from './scratch.ts';
import { queryVectors, renameVectorsQuestion, VectorsQuestion, vectorsQuestions } from './smoke.ts';
import { testLoadQdrant } from './test-load.ts';
import { verifyQdrant } from './verify.ts';
import { routeVectors, viewVectors } from './view.ts';

/** Vectors in Qdrant 1.x. docs/stores/qdrant.md describes what is saved and what is proved. */
export const qdrantAdapter = defineAdapter({
  facts: qdrantFacts,
  versionNotes: {
    newer: 'settings that the archive does not contain get its defaults',
    older: 'unknown settings may be rejected, and snapshots of a newer server cannot be loaded',
  },
  Connection: QdrantConnection,
  Scope: QdrantScope,
  create: (connection, scope, dependencies) => new QdrantStore(connection, scope, dependencies),
  narrow: narrowVectors,
  Smoke: VectorsQuestion,
  questions: vectorsQuestions,
  renameQuestion: renameVectorsQuestion,
  route: routeVectors,
  view: viewVectors,
  overlaps: vectorsOverlap,
  scratch: vectorsScratch,
  check: checkVectors,
  comparison: vectorsComparison,
  values: (archive, _scope, { field, isThing }) => vectorValues(archive, isThing, field),
});

/** One Qdrant server as a store. Only tests pass `limits`, because they have less data. */
export class QdrantStore extends BaseStore {
  readonly #client: QdrantClient;
  readonly #scope: QdrantScope;
  readonly #limits: ExportLimits | undefined;
  readonly #referenceFields: StoreDependencies['referenceFields'];

  constructor(
    connection: QdrantConnection,
    scope: QdrantScope,
    { target, referenceFields }: StoreDependencies,
    limits?: ExportLimits,
  ) {
    super(qdrantAdapter);
    this.#limits = limits;
    this.#referenceFields = referenceFields;
    this.#client = new QdrantClient(connection, target);
    this.#scope = scope;
  }

  probe(context: LegContext): Promise<StoreProbe> {
    return probeQdrant(this.#client, this.#scope, context);
  }

  prove(context: LegContext): Promise<StoreProof> {
    return proveVectors(this.#client, this.#scope, context);
  }

  override async names({ signal }: LegContext): Promise<readonly string[]> {
    return (await listCollections(this.#client, signal)).slice(0, NAMES_MAX);
  }

  override plan(context: LegContext, probe: StoreProbe): Promise<Shard[]> {
    return planQdrant(this.#client, this.#scope, context, probe);
  }

  async *export(shard: Shard, cursor: Cursor | null, context: LegContext): AsyncGenerator<ExportStep> {
    const version = await readVersion(this.#client, context.signal);
    yield* exportQdrant(this.#client, this.#scope, version, shard, cursor, context, {
      limits: this.#limits,
      referenceFields: this.#referenceFields,
    });
  }

  override cleanup(context: LegContext): Promise<void> {
    return removeTemporary(this.#client, context);
  }

  override admits(restore: RestoreInput): Promise<readonly string[]> {
    return admitQdrant(this.#client, this.#scope, restore);
  }

  testLoad(leg: RestoreLeg): Promise<LegResult> {
    return testLoadQdrant(this.#client, leg);
  }

  clear(leg: RestoreLeg): Promise<LegResult> {
    return clearQdrant(this.#client, this.#scope, leg);
  }

  load(leg: RestoreLeg): Promise<LegResult> {
    return loadQdrant(this.#client, this.#scope, leg);
  }

  verify(leg: RestoreLeg): Promise<VerifyResult> {
    return verifyQdrant(this.#client, this.#scope, leg);
  }

  override smoke(question: unknown, context: LegContext): Promise<string> {
    return queryVectors(this.#client, question, context);
  }

  label({ route, ...leg }: LabelLeg): Promise<LegResult> {
    const scope = QdrantScope.parse(route.scope);
    const saved = QdrantScope.safeParse(route.saved).data;
    return labelSnapshots(this.#client, { ...leg, route: { ...route, scope, saved } });
  }

  override occupied(context: LegContext): Promise<readonly string[]> {
    return occupiedCollections(this.#client, this.#scope, context);
  }

  override remove(context: LegContext): Promise<LegResult> {
    return removeCollections(this.#client, this.#scope, context);
  }

  override async finish(context: LegContext): Promise<LegResult> {
    await removeTemporary(this.#client, context);
    return DONE;
  }

  override close(): Promise<void> {
    return this.#client.close();
  }
}
