import { randomBytes } from 'node:crypto';
import { CreateSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import type { Tallies } from '../../../shared/core/digest.ts';
import type { ByStore } from '../../../shared/core/store-names.ts';
import { resolveStore } from '../../../shared/profiles/open.ts';
import type { Environment, LegLimits } from '../../../shared/workflows/environment.ts';
import { cleanUpAfter } from '../../../shared/workflows/janitor/janitor.ts';
import { admitRestore } from '../../../shared/workflows/restore/admit.ts';
import { beginRestore } from '../../../shared/workflows/restore/begin.ts';
import { closeExecution } from '../../../shared/workflows/restore/close-rehearsal.ts';
import { InspectState, inspectArchive } from '../../../shared/workflows/restore/inspect.ts';
import { RestoreState, restoreLeg } from '../../../shared/workflows/restore/leg.ts';
import { buildArchive, DRAFT } from '../../archive/build.ts';
import { servers } from '../../servers.ts';
import { type Names, withClients } from '../../stack/content.ts';
import { exportAll } from '../../stores/memory-archive.ts';
import { waitingMachine } from '../../support/aws.ts';
import { catalogue } from '../../support/catalog.ts';

export const STORES = ['graph', 'vectors', 'kv'] as const;
export const BACKUP = 'snapshot_2026-01-02T03-04-05Z';

/** A target on the test servers, whose records have these names. */
export function targetOf({ label, collection, prefix }: Names, secrets: string) {
  return {
    stores: {
      graph: { kind: 'neo4j', secret: `${secrets}-graph`, scope: { label, key_property: 'id' } },
      vectors: { kind: 'qdrant', secret: `${secrets}-vectors`, scope: { collections: [collection] } },
      kv: { kind: 'redis', secret: `${secrets}-kv`, scope: { prefix, separator: ':' } },
    },
  };
}

/** The connections of the test servers. */
export function connections(): Record<(typeof STORES)[number], object> {
  const { uri, username, password } = servers.neo4j;
  return {
    graph: { uri, username, password },
    vectors: { url: servers.qdrant.url, api_key: servers.qdrant.apiKey },
    kv: { url: servers.redis.url, password: servers.redis.password },
  };
}

/** Secrets with the connections of the test servers; returns the prefix of their names. */
export async function putSecrets(changes: ByStore<object> = {}): Promise<string> {
  const start = `drill-${randomBytes(6).toString('hex')}`;
  const client = new SecretsManagerClient({});
  for (const [store, connection] of Object.entries({ ...connections(), ...changes })) {
    const secret = { Name: `${start}-${store}`, SecretString: JSON.stringify(connection) };
    await client.send(new CreateSecretCommand(secret));
  }
  return start;
}

interface Exported {
  readonly contents: { name: string; data: Uint8Array }[];
  readonly tallies: Record<string, Tallies>;
  readonly scopes: Record<string, unknown>;
}

/** Exports a target with its real exporters. */
async function exportTarget(environment: Environment, target: string): Promise<Exported> {
  const exported: Exported = { contents: [], tallies: {}, scopes: {} };
  for (const name of STORES) {
    const { adapter, scope } = resolveStore(environment.config, target, name);
    const connection = adapter.Connection.parse(connections()[name]);
    const { archive, tallies } = await exportAll(() => adapter.create(connection, scope, { target }));
    for (const [entry, data] of archive.files) exported.contents.push({ name: entry, data });
    exported.tallies[name] = tallies;
    exported.scopes[name] = scope;
  }
  return exported;
}

/** By the configuration of the target: no drill changes the contents of a target. */
const exports = new Map<string, Promise<Exported>>();

/**
 * Makes a backup of a target and catalogues it. Its contents are those of the first backup of a target with this
 * configuration, unless they are to be exported again.
 */
export async function backUp(
  environment: Environment,
  target: string,
  { backupId = BACKUP, again = false } = {},
): Promise<Buffer> {
  const key = JSON.stringify(environment.config.targets[target]);
  const known = again ? undefined : exports.get(key);
  const exporting = known ?? exportTarget(environment, target);
  exports.set(key, exporting);
  const { contents, tallies, scopes } = await exporting;
  const scope = {
    type: 'full' as const,
    stores: [...STORES],
    target,
    profile: environment.config.targets[target]?.profile,
    scopes,
  };
  const draft = { ...DRAFT, backup_id: backupId, scope, tallies, storage_backends: {} };
  const bytes = await buildArchive(contents, { draft: JSON.parse(JSON.stringify(draft)) });
  const stores = [...STORES];
  await catalogue(environment.bucket, { backup_id: backupId, target, stores, tallies }, bytes);
  return bytes;
}

/** A drill that runs in this process, with the steps of its workflow. */
export class Drill {
  readonly #environment: Environment;
  readonly jobId: string;
  readonly executionArn: string;
  readonly input: object;

  private constructor(environment: Environment, jobId: string, executionArn: string, input: object) {
    this.#environment = environment;
    this.jobId = jobId;
    this.executionArn = executionArn;
    this.input = input;
  }

  static async start(environment: Environment, drill: object = {}, name?: string): Promise<Drill> {
    const jobId = name ?? `drill_${randomBytes(6).toString('hex')}`;
    const executionArn = await (await waitingMachine(environment.sfn)).start(jobId);
    return new Drill(environment, jobId, executionArn, { drill });
  }

  /**
   * Runs all steps; yields after each of them.
   *
   * @param limits of each leg; without time left, a leg ends after its first unit of work
   */
  async *steps(limits: LegLimits = LIMITS): AsyncGenerator<string> {
    const { jobId: job_id } = this;
    const execution = { name: job_id, arn: this.executionArn, start: new Date().toISOString() };
    const admission = await admitRestore(this.#environment, this.input, execution);
    if (!admission.admitted) throw new Error(admission.reason);
    yield 'admitted';
    for (let state = InspectState.parse({ job_id }); !state.done; ) {
      state = InspectState.parse(await inspectArchive(this.#environment, state, LIMITS));
      yield 'inspected';
    }
    await beginRestore(this.#environment, job_id, LIMITS);
    yield 'begun';
    for (const phase of ['clear', 'verify', 'finish'] as const) {
      for (const store of STORES) {
        for (let state = RestoreState.parse({ job_id, phase, done: false }); !state.done; ) {
          const before = state.phase;
          state = await restoreLeg(this.#environment, { ...state, store }, limits);
          yield `${before} of ${store}`;
        }
      }
    }
    await closeExecution(this.#environment, job_id);
    yield 'closed';
  }

  /** Runs all steps, and ends as its execution would. Returns the error of a failed step. */
  async run(limits?: LegLimits): Promise<Error | undefined> {
    try {
      for await (const _step of this.steps(limits));
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      await this.end('FAILED', error);
      return error;
    }
    await this.end('SUCCEEDED');
    return undefined;
  }

  /** The end of its execution, as the janitor receives it. */
  async end(status: 'SUCCEEDED' | 'FAILED' | 'ABORTED', error?: Error): Promise<void> {
    const detail = {
      executionArn: this.executionArn,
      name: this.jobId,
      status,
      input: JSON.stringify(this.input),
      ...(error === undefined ? {} : { error: error.name, cause: error.message }),
    };
    await cleanUpAfter(this.#environment, { detail }, LIMITS);
  }
}

export const LIMITS: LegLimits = { timeLeft: () => 60_000, signal: new AbortController().signal };

/** The previous inventory: other tests use the same servers. */
let before: ReadonlySet<string> = new Set();

/** To be called before the first drill of a test file. */
export async function rememberLeftovers(): Promise<void> {
  before = new Set(await traces());
}

/** Everything on the test servers that any drill may have created since. */
export async function leftovers(): Promise<string[]> {
  return (await traces()).filter((name) => !before.has(name));
}

function traces(): Promise<string[]> {
  return withClients(async ({ cypher, qdrant, redis }) => {
    const labels = await cypher(
      `MATCH (n) UNWIND labels(n) AS label WITH DISTINCT label
       WHERE label STARTS WITH 'ngbak_drill_' OR label STARTS WITH '__ngbak_' RETURN label`,
    );
    const schema = await cypher(
      `SHOW INDEXES YIELD name, labelsOrTypes
       WHERE any(l IN labelsOrTypes WHERE l STARTS WITH 'ngbak_drill_' OR l STARTS WITH '__ngbak_') RETURN name`,
    );
    const { result } = await qdrant('GET', '/collections');
    const { collections } = result as { collections: { name: string }[] };
    return [
      ...labels.map(({ label }) => `label ${label}`),
      ...schema.map(({ name }) => `schema ${name}`),
      ...collections.flatMap(({ name }) => (name.startsWith('ngbak-') ? [`collection ${name}`] : [])),
      ...(await redis.keys('*__ngbak:*')).map((key) => `key ${key}`),
    ];
  });
}
