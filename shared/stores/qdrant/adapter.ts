import type { EntryReader } from '../../archive/format/types.ts';
import {
  type Cursor,
  type ExportStep,
  type Leg,
  type LegContext,
  NAMES_MAX,
  type RestoreOptions,
  type Route,
  type Shard,
  type Store,
  type StoreAdapter,
  type StoreDependencies,
  type StoreProbe,
  type VerifyLeg,
} from '../store.ts';
import { admitQdrant } from './admits.ts';
import { checkVectors } from './check.ts';
import { clearQdrant, removeTemporary } from './clear.ts';
import { QdrantClient } from './client.ts';
import { listCollections } from './collections.ts';
import { QdrantConnection, QdrantScope } from './connection.ts';
import { type ExportLimits, exportQdrant, planQdrant } from './export.ts';
import { labelSnapshots } from './label.ts';
import { loadQdrant } from './load.ts';
import { probeQdrant, readVersion } from './probe.ts';
import { vectorValues } from './references.ts';
import { narrowVectors } from './scope.ts';
import { askVectors, VectorsQuestion, vectorsQuestions } from './smoke.ts';
import { testLoadQdrant } from './test-load.ts';
import { verifyQdrant } from './verify.ts';
import { routeVectors, viewVectors } from './view.ts';

/** Vectors in Qdrant 1.x; docs/stores/qdrant.md tells what is saved and what is proved. */
export const qdrantAdapter: StoreAdapter<QdrantConnection, QdrantScope> = {
  kind: 'qdrant',
  versionNotes: {
    newer: 'settings that the archive does not state get its defaults',
    older: 'settings that it does not know may be refused, and snapshots of a newer server do not load',
  },
  name: 'vectors',
  Connection: QdrantConnection,
  Scope: QdrantScope,
  create: (connection, scope, dependencies) => new QdrantStore(connection, scope, dependencies),
  narrow: narrowVectors,
  Smoke: VectorsQuestion,
  questions: vectorsQuestions,
  route: routeVectors,
  view: viewVectors,
  check: checkVectors,
  values: (archive, _scope, { field, isThing }) => vectorValues(archive, isThing, field),
};

/** One Qdrant server as a store. `limits` are given by tests only, which have less data. */
export class QdrantStore implements Store {
  readonly name = 'vectors';
  readonly kind = 'qdrant';
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
    this.#limits = limits;
    this.#referenceFields = referenceFields;
    this.#client = new QdrantClient(connection, target);
    this.#scope = scope;
  }

  probe(context: LegContext): Promise<StoreProbe> {
    return probeQdrant(this.#client, this.#scope, context);
  }

  async names({ signal }: LegContext): Promise<readonly string[]> {
    return (await listCollections(this.#client, signal)).slice(0, NAMES_MAX);
  }

  plan(context: LegContext, probe: StoreProbe): Promise<Shard[]> {
    return planQdrant(this.#client, this.#scope, context, probe);
  }

  async *export(shard: Shard, cursor: Cursor | null, context: LegContext): AsyncGenerator<ExportStep> {
    const version = await readVersion(this.#client, context.signal);
    yield* exportQdrant(this.#client, this.#scope, version, shard, cursor, context, {
      limits: this.#limits,
      referenceFields: this.#referenceFields,
    });
  }

  cleanup(context: LegContext): Promise<void> {
    return removeTemporary(this.#client, context);
  }

  admits(archive: EntryReader, options: RestoreOptions, context: LegContext): Promise<readonly string[]> {
    return admitQdrant(this.#client, this.#scope, archive, options, context);
  }

  testLoad(
    archive: EntryReader,
    _options: RestoreOptions,
    cursor: Cursor | null,
    context: LegContext,
  ): Promise<Leg> {
    return testLoadQdrant(this.#client, archive, cursor, context);
  }

  clear(
    archive: EntryReader,
    options: RestoreOptions,
    cursor: Cursor | null,
    context: LegContext,
  ): Promise<Leg> {
    return clearQdrant(this.#client, this.#scope, archive, options, cursor, context);
  }

  load(
    archive: EntryReader,
    options: RestoreOptions,
    cursor: Cursor | null,
    context: LegContext,
  ): Promise<Leg> {
    return loadQdrant(this.#client, this.#scope, archive, options, cursor, context);
  }

  verify(
    archive: EntryReader,
    options: RestoreOptions,
    cursor: Cursor | null,
    context: LegContext,
  ): Promise<VerifyLeg> {
    return verifyQdrant(this.#client, this.#scope, archive, options, cursor, context);
  }

  /** No reference leads to points. */
  async missing(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  smoke(question: unknown, context: LegContext): Promise<string> {
    return askVectors(this.#client, question, context);
  }

  label(archive: EntryReader, route: Route, cursor: Cursor | null, context: LegContext): Promise<Leg> {
    const scope = QdrantScope.parse(route.scope);
    const saved = QdrantScope.safeParse(route.saved).data;
    return labelSnapshots(this.#client, archive, { ...route, scope, saved }, cursor, context);
  }

  async finish(_options: RestoreOptions, _cursor: Cursor | null, context: LegContext): Promise<Leg> {
    await removeTemporary(this.#client, context);
    return { cursor: null, tallies: {} };
  }

  close(): Promise<void> {
    return this.#client.close();
  }
}
