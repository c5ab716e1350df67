import {
  CreateSecretCommand,
  PutSecretValueCommand,
  ResourceExistsException,
  SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import { AccessList, newApiKey, ROLES, type Role } from '../../shared/api/access.ts';

/** How the test servers are reached: the shapes of the adapters' connections. */
export interface TestConnections {
  readonly graph: { uri: string; username: string; password: string };
  readonly vectors: { url: string; api_key: string };
  readonly kv: { url: string; password: string };
}

const STORES = ['graph', 'vectors', 'kv'] as const;
const KINDS = { graph: 'neo4j', vectors: 'qdrant', kv: 'redis' } as const;

/** Name of the secret of one target's store. Tests change some of them to see what happens. */
export const secretName = (target: string, store: string) => `test-${target}-${store}`;

/** The knowledge bases of the deployed test stack, all on the same servers, apart by label, collections and prefix. */
const TARGETS: Record<string, { profile?: string; parameters?: object; scopes?: Record<string, object> }> = {
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
      graph: { label: 'NgbakViews', key_property: 'id' },
      vectors: { collections: ['views_items'] },
      kv: { prefix: 'ngbak-views:' },
    },
  },
  dashboard: {
    scopes: {
      graph: { label: 'NgbakDashboard', key_property: 'id' },
      vectors: { collections: ['dashboard_items'] },
      kv: { prefix: 'ngbak-dashboard:' },
    },
  },
  options: {
    scopes: {
      graph: { label: 'Options', key_property: 'id' },
      vectors: { collections: ['options_items'] },
      kv: { prefix: 'options:', separator: ':' },
    },
  },
  lightrag: { profile: 'lightrag', parameters: { workspace: 'stackrag', model_suffix: 'stub_8d' } },
  empty: {
    scopes: {
      graph: { label: 'Nothing' },
      vectors: { collections: ['empty_items'] },
      kv: { prefix: 'nothing:' },
    },
  },
  'missing-collection': {
    scopes: {
      graph: { label: 'Nothing' },
      vectors: { collections: ['no_such_collection'] },
      kv: { prefix: 'nothing:' },
    },
  },
};

/** The value of the context key `ngbak` for the test deployment. */
export function testDeployment() {
  const targets = Object.entries(TARGETS).map(([name, { scopes, ...target }]) => [
    name,
    {
      ...target,
      stores: Object.fromEntries(
        STORES.map((store) => [
          store,
          {
            kind: KINDS[store],
            secret: secretName(name, store),
            ...(scopes?.[store] === undefined ? {} : { scope: scopes[store] }),
          },
        ]),
      ),
    },
  ]);
  return { stackName: 'NgbakTest', removal: 'destroy', targets: Object.fromEntries(targets) };
}

/** Makes every target's secrets, or sets them back to what reaches the servers. */
export async function putTestSecrets(connections: TestConnections): Promise<void> {
  const client = new SecretsManagerClient({});
  for (const target of Object.keys(TARGETS)) {
    for (const store of STORES) {
      const [Name, SecretString] = [secretName(target, store), JSON.stringify(connections[store])];
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
export async function putTestKeys(secretArn: string): Promise<Record<Role, string>> {
  const made = ROLES.map((role) => ({ role, ...newApiKey(`test-${role}`, role) }));
  const list = AccessList.parse({ keys: made.map(({ entry }) => entry) });
  const secret = { SecretId: secretArn, SecretString: JSON.stringify(list) };
  await new SecretsManagerClient({}).send(new PutSecretValueCommand(secret));
  return Object.fromEntries(made.map(({ role, key }) => [role, key])) as Record<Role, string>;
}
