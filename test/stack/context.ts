import {
  CreateSecretCommand,
  PutSecretValueCommand,
  ResourceExistsException,
  type SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import { AccessList, newApiKey } from '../../shared/api/access.ts';
import { ROLES, type Role } from '../../shared/core/roles.ts';

/** How the test servers are reached: the shapes of the adapters' connections. */
export interface TestConnections {
  readonly graph: { uri: string; username: string; password: string };
  readonly vectors: { url: string; api_key: string };
  readonly kv: { url: string; password: string };
}

const USUAL_STORES = { graph: { kind: 'neo4j' }, vectors: { kind: 'qdrant' }, kv: { kind: 'redis' } };

/** Name of the secret of one target's store: as short as can be, since all have to fit into an environment variable. */
export const secretName = (target: string, store: string) => target.slice(0, 3) + store.charAt(0);

/** Where target `nano` has its files: the bucket is the test's. */
export const NANO_FILES = { bucket: 'nano-graphrag-files', prefix: 'kb' };
/** The function that stands for who writes to it. Tests make it. */
export const NANO_WRITERS = 'arn:aws:lambda:us-east-1:000000000000:function:stop';
/** The bucket of target `busy`, whose files tests write all the time: its secret says where. */
export const BUSY_FILES = 'busy-files';
/** Its working directory, as nano-graphrag itself names it. */
export const NANO_WORKING_DIR = 'nano-kb';

/** Largest archive that the test deployment accepts, in bytes: little, so that a test can exceed it. */
export const UPLOAD_BYTES_MAX = 100 * 1024 ** 2;

/** Version of the GraphRAG system of target `options`, and where it has its configuration, beside keys in Redis. */
export const SYSTEM_VERSION = '1.5.2';
export const SETTINGS = { bucket: 'settings', prefix: 'kb' };

interface TestTarget {
  readonly profile?: string;
  readonly system_version?: string;
  readonly configuration_folder?: object;
  readonly parameters?: object;
  readonly scopes?: Record<string, object>;
  /** Where it has not all of them, on the usual servers. */
  readonly stores?: Record<string, { readonly kind: string; readonly buckets?: readonly string[] }>;
  readonly hooks?: object;
}

/** The knowledge bases of the deployed test stack, all on the same servers, apart by label, collections and prefix. */
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
  // One store only: all targets together have to fit into an environment variable.
  move: { stores: { kv: { kind: 'redis' } }, scopes: { kv: { prefix: 'move:' } } },
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
      // Points can be merged, a snapshot can't.
      vectors: { collections: ['option_items'], method: 'points' },
      kv: { prefix: 'options:', separator: ':' },
    },
  },
  lightrag: { profile: 'lightrag', parameters: { workspace: 'stackrag', model_suffix: 'stub_8d' } },
  nano: {
    profile: 'nano-graphrag',
    parameters: { working_dir: NANO_WORKING_DIR },
    stores: { graph: { kind: 'neo4j' }, kv: { kind: 'files', buckets: [NANO_FILES.bucket] } },
    hooks: { pause: { lambda: NANO_WRITERS }, resume: { lambda: NANO_WRITERS } },
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

/** A time of day that is hours away, so that no daily backup holds a target while tests run. */
export function farTimeOfDay(): string {
  const hour = new Date().getUTCHours();
  return hour >= 12 ? '06:00' : '18:00';
}

/**
 * The value of the context key `ngbak` for the test deployment.
 *
 * @param nightly  with the waiting times of production; otherwise, a step that was killed is missed sooner
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
    schedule: { time: farTimeOfDay() },
    targets: Object.fromEntries(targets),
  };
}

/** Makes every target's secrets, or sets them back to what reaches the servers. */
export async function putTestSecrets(
  client: SecretsManagerClient,
  connections: TestConnections,
): Promise<void> {
  const files = { location: `s3://${NANO_FILES.bucket}/${NANO_FILES.prefix}` };
  for (const [target, { stores = USUAL_STORES }] of Object.entries(TARGETS)) {
    for (const [store, { kind }] of Object.entries(stores)) {
      const connection = kind === 'files' ? files : connections[store as keyof TestConnections];
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

/** Makes a key of each role for all tests together: the API's function remembers for a minute who may call. */
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
