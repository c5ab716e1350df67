import {
  CreateSecretCommand,
  PutSecretValueCommand,
  ResourceExistsException,
  type SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import { AccessList, newApiKey } from '../../shared/api/access.ts';
import { ROLES, type Role } from '../../shared/core/roles.ts';

/** The addresses of the test servers, in the form of the connections of the adapters. */
export interface TestConnections {
  readonly graph: { uri: string; username: string; password: string };
  readonly vectors: { url: string; api_key: string };
  readonly kv: { url: string; password: string };
}

const USUAL_STORES = { graph: { kind: 'neo4j' }, vectors: { kind: 'qdrant' }, kv: { kind: 'redis' } };

/** Name of the secret of one target's store: as short as possible, since all must fit into an environment variable. */
export const secretName = (target: string, store: string) =>
  target.slice(0, 3) + store.replaceAll(/_?([a-z])[a-z]*/g, '$1');

/** The bucket with the files of target `several`: its test creates it, and sets the location. */
export const SEVERAL_FILES = 'several-files';
/** Location of the files of target `nano`: the test creates the bucket. */
export const NANO_FILES = { bucket: 'nano-graphrag-files', prefix: 'kb' };
/** The function that represents the writers of the target. Tests create it. */
export const NANO_WRITERS = 'arn:aws:lambda:us-east-1:000000000000:function:stop';
/** The bucket of target `busy`, whose files tests write continuously: its secret has the location. */
export const BUSY_FILES = 'busy-files';
/** Its working directory, under the name that nano-graphrag derives. */
export const NANO_WORKING_DIR = 'nano-kb';

/** The workspace of target `pgrag` in tables that it shares with others. */
export const PG_WORKSPACE = 'pgrag';
/** In place of the connection to a server that a test starts itself. */
const NO_POSTGRES = {
  url: 'postgresql://127.0.0.1:1/postgres',
  username: 'none',
  password: 'none',
  tls: false,
};

/** Largest archive that the test deployment accepts, in bytes: small, so that a test can exceed it. */
export const UPLOAD_BYTES_MAX = 100 * 1024 ** 2;

/**
 * Version of the GraphRAG system of target `options`, and the location of its configuration, in addition to keys in
 * Redis.
 */
export const SYSTEM_VERSION = '1.5.2';
export const SETTINGS = { bucket: 'settings', prefix: 'kb' };

interface TestTarget {
  readonly profile?: string;
  readonly system_version?: string;
  readonly configuration_folder?: object;
  readonly parameters?: object;
  readonly scopes?: Record<string, object>;
  /** Connections that differ from the usual servers. */
  readonly stores?: Record<string, { readonly kind: string; readonly buckets?: readonly string[] }>;
  readonly hooks?: object;
}

/**
 * The knowledge bases of the deployed test stack, all on the same servers, separated by label, collections and prefix.
 */
const TARGETS: Record<string, TestTarget> = {
  default: { profile: 'ngraf-023', parameters: { namespace: 'default' } },
  scratch: {
    scopes: {
      graph: { label: 'Scratch', key_property: 'id' },
      vectors: { collections: ['scratch_items'] },
      kv: { prefix: 'scratch:' },
    },
  },
  'aws-cli': {
    scopes: {
      graph: { label: 'AwsCli', key_property: 'id' },
      vectors: { collections: ['aws_cli_items'] },
      kv: { prefix: 'aws-cli:' },
    },
  },
  cli: {
    scopes: {
      graph: { label: 'NgbakCli', key_property: 'id' },
      vectors: { collections: ['cli_items'] },
      kv: { prefix: 'ngbak-cli:', separator: ':' },
    },
  },
  views: {
    scopes: {
      graph: { label: 'Views', key_property: 'id' },
      vectors: { collections: ['views_items'] },
      kv: { prefix: 'views:' },
    },
  },
  // One store only: all targets together must fit into an environment variable.
  move: { stores: { kv: { kind: 'redis' } }, scopes: { kv: { prefix: 'move:' } } },
  cold: { stores: { kv: { kind: 'redis' } }, scopes: { kv: { prefix: 'cold:' } } },
  dashboard: {
    scopes: {
      graph: { label: 'Dashboard', key_property: 'id' },
      vectors: { collections: ['dashboard_items'] },
      kv: { prefix: 'dashboard:' },
    },
  },
  options: {
    system_version: SYSTEM_VERSION,
    configuration_folder: { location: `s3://${SETTINGS.bucket}/${SETTINGS.prefix}` },
    scopes: {
      graph: { label: 'Options', key_property: 'id' },
      // Points can be merged, snapshots cannot.
      vectors: { collections: ['option_items'], method: 'points' },
      kv: { prefix: 'options:', separator: ':' },
    },
  },
  lightrag: { profile: 'lightrag', parameters: { workspace: 'stackrag', model_suffix: 'stub_8d' } },
  // LightRAG as its Helm chart installs it. The test starts PostgreSQL, and puts its address into the secret.
  pgrag: {
    profile: 'lightrag',
    parameters: { workspace: PG_WORKSPACE },
    stores: { graph: { kind: 'neo4j' }, kv: { kind: 'postgres' } },
  },
  nano: {
    profile: 'nano-graphrag',
    parameters: { working_dir: NANO_WORKING_DIR },
    stores: { graph: { kind: 'neo4j' }, kv: { kind: 'files', buckets: [NANO_FILES.bucket] } },
    hooks: { pause: { lambda: NANO_WRITERS }, resume: { lambda: NANO_WRITERS } },
  },
  // Like LightRAG with its key-value data in Redis and the status of its documents in files.
  several: {
    profile: 'lightrag',
    parameters: { workspace: 'several' },
    stores: { kv: { kind: 'redis' }, kv_files: { kind: 'files', buckets: [SEVERAL_FILES] } },
  },
  busy: { stores: { kv: { kind: 'files', buckets: [BUSY_FILES] } } },
  empty: {
    scopes: {
      graph: { label: 'None' },
      vectors: { collections: ['empty_items'] },
      kv: { prefix: 'none:' },
    },
  },
  missing: {
    scopes: {
      graph: { label: 'None' },
      vectors: { collections: ['no_such'] },
      kv: { prefix: 'none:' },
    },
  },
};

export const STACK_NAME = 'NgbakTest';

/** A time of day that is hours away, so that no daily backup locks a target while tests run. */
export function farTimeOfDay(): string {
  const hour = new Date().getUTCHours();
  return hour >= 12 ? '06:00' : '18:00';
}

/**
 * The value of the context key `ngbak` for the test deployment.
 *
 * @param nightly  with the delays of production; otherwise, a killed step is detected sooner
 */
export function testDeployment(nightly: boolean) {
  const targets = Object.entries(TARGETS).map(([name, { scopes, stores, ...target }]) => [
    name,
    {
      ...target,
      stores: Object.fromEntries(
        Object.entries(stores ?? USUAL_STORES).map(([store, settings]) => [
          store,
          {
            ...settings,
            secret: secretName(name, store),
            ...(scopes?.[store] === undefined ? {} : { scope: scopes[store] }),
          },
        ]),
      ),
    },
  ]);
  return {
    stackName: STACK_NAME,
    removal: 'destroy',
    uploadBytesMax: UPLOAD_BYTES_MAX,
    ...(nightly ? {} : { leaseSeconds: 3 }),
    thawPollSeconds: 1,
    schedule: { time: farTimeOfDay() },
    targets: Object.fromEntries(targets),
  };
}

/** Creates the secrets of every target, or resets them to the addresses of the servers. */
export async function putTestSecrets(
  client: SecretsManagerClient,
  connections: TestConnections,
): Promise<void> {
  const files = { location: `s3://${NANO_FILES.bucket}/${NANO_FILES.prefix}` };
  for (const [target, { stores = USUAL_STORES }] of Object.entries(TARGETS)) {
    for (const [store, { kind }] of Object.entries(stores)) {
      const usual = connections[store as keyof TestConnections];
      const connection = kind === 'files' ? files : kind === 'postgres' ? NO_POSTGRES : usual;
      const [Name, SecretString] = [secretName(target, store), JSON.stringify(connection)];
      try {
        await client.send(new CreateSecretCommand({ Name, SecretString }));
      } catch (error) {
        if (!(error instanceof ResourceExistsException)) throw error;
        await client.send(new PutSecretValueCommand({ SecretId: Name, SecretString }));
      }
    }
  }
}

/** Creates a key of each role for all tests together: the function of the API caches the access list for a minute. */
export async function putTestKeys(
  client: SecretsManagerClient,
  secretArn: string,
): Promise<Record<Role, string>> {
  const made = ROLES.map((role) => ({ role, ...newApiKey(`test-${role}`, role) }));
  const list = AccessList.parse({ keys: made.map(({ entry }) => entry) });
  const secret = { SecretId: secretArn, SecretString: JSON.stringify(list) };
  await client.send(new PutSecretValueCommand(secret));
  return Object.fromEntries(made.map(({ role, key }) => [role, key])) as Record<Role, string>;
}
