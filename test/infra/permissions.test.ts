import { beforeAll, describe, expect, test } from '@jest/globals';
import type { Template } from 'aws-cdk-lib/assertions';
import { FUNCTION_NAMES } from '../../infra/functions.ts';
import { RETENTION_KEY } from '../../shared/aws/keys.ts';
import { permissions, type Statement, statementsOf, synthesize } from './template.ts';
import { MOUNTED, VARIANTS } from './variants.ts';

let template: Template;
let granted: Map<string, Statement[]>;
let names: string[];
/** The functions of the two workflows. */
let steps: string[];
/** Functions that are not steps of a workflow. The first two may delete whole backups. */
const OPERATING = ['api', 'apply-retention', 'notify'];

beforeAll(() => {
  template = synthesize({ ...VARIANTS['every kind of receiver'], ...VARIANTS['copies in other buckets'] });
  granted = permissions(template);
  names = [...granted.keys()];
  steps = names.filter((name) => !OPERATING.includes(name));
});

const of = (name: string) => granted.get(name) ?? [];

/** Key patterns of the archive bucket on which a function has a permission. */
function keys(name: string, action: string): string[] {
  return of(name)
    .filter(({ actions }) => actions.includes(action))
    .flatMap(({ resources }) => resources)
    .filter((resource) => resource.startsWith('<ArchiveBucket'))
    .map((resource) => resource.split('>/')[1] ?? '')
    .sort();
}

/** The secrets that a function may read, identified by their logical IDs or names. */
function secrets(name: string): string[] {
  return of(name)
    .filter(({ actions }) => actions.includes('secretsmanager:GetSecretValue'))
    .flatMap(({ resources }) => resources)
    .map(
      (resource) =>
        /Secrets(default[a-z]+)|secret:(team\/graph)/.exec(resource)?.slice(1).find(Boolean) ?? resource,
    )
    .sort();
}

test('there is one function for each step, and each has a role of its own', () => {
  expect(names.sort()).toEqual([...FUNCTION_NAMES].sort());
  const functions = Object.values(template.findResources('AWS::Lambda::Function'));
  expect(new Set(functions.map(({ Properties }) => JSON.stringify(Properties.Role))).size).toBe(
    FUNCTION_NAMES.length,
  );
});

test('no policy allows all actions of a service, and no policy of a function covers all resources', () => {
  for (const { Properties } of Object.values(template.findResources('AWS::IAM::Policy'))) {
    for (const { effect, actions } of statementsOf(Properties)) {
      expect(effect).toBe('Allow');
      expect(actions.filter((action) => action.includes('*'))).toEqual([]);
    }
  }
  for (const name of names) {
    for (const { resources } of of(name)) expect(resources).not.toContain('*');
  }
});

test.each([
  ['export-graph', ['defaultgraph', 'team/graph']],
  ['export-vectors', ['defaultvectors']],
  ['export-kv', ['defaultkv']],
  ['export-config', []],
  ['restore-graph', ['defaultgraph', 'team/graph']],
  ['restore-vectors', ['defaultvectors']],
  ['restore-kv', ['defaultkv']],
  ['seal-backup', []],
  ['verify-backup', []],
  ['catalog-backup', []],
  ['copy-backup', []],
  ['verify-stored', []],
  ['admit-restore', []],
  ['await-confirmation', []],
  ['begin-restore', []],
  ['close-restore', []],
  ['plan-backup', ['defaultgraph', 'defaultkv', 'defaultvectors', 'team/graph']],
  ['check-fences', ['defaultgraph', 'defaultkv', 'defaultvectors', 'team/graph']],
  ['inspect-restore', ['defaultgraph', 'defaultkv', 'defaultvectors', 'team/graph']],
  ['janitor', ['defaultgraph', 'defaultkv', 'defaultvectors', 'team/graph']],
])('%s reads only the credentials of the stores it reaches', (name, expected) => {
  expect(secrets(name)).toEqual(expected);
});

test('exactly the functions that connect to a database may connect as its user', () => {
  const others = permissions(synthesize(VARIANTS['an existing bucket']));
  const connecting = [...others].filter(([, statements]) =>
    statements.some(({ actions }) => actions.some((action) => action.startsWith('rds-db:'))),
  );
  expect(connecting.map(([name]) => name).sort()).toEqual([
    ...['check-fences', 'export-kv', 'inspect-restore', 'janitor', 'plan-backup', 'restore-kv'],
  ]);
  for (const [, statements] of connecting) {
    expect(statements.filter(({ actions }) => actions.includes('rds-db:connect'))).toEqual([
      expect.objectContaining({
        effect: 'Allow',
        actions: ['rds-db:connect'],
        resources: ['arn:aws:rds-db:eu-central-1:111122223333:dbuser:cluster-0A1B2C3D/ngbak'],
      }),
    ]);
  }
  for (const name of names)
    expect(of(name).flatMap(({ actions }) => actions)).not.toContain('rds-db:connect');
});

test('a further store is reached by the functions of its role, and by no others', () => {
  const stores = {
    graph: { kind: 'neo4j' },
    kv: { kind: 'redis' },
    kv_files: { kind: 'files', buckets: ['lightrag-files'] },
  };
  const own = synthesize({ targets: { default: { profile: 'lightrag', stores } } });
  const all = permissions(own);
  const reads = (name: string, what: RegExp) =>
    (all.get(name) ?? []).flatMap(({ resources }) => resources).some((resource) => what.test(resource));
  for (const name of all.keys()) {
    const isOfRole =
      /-kv$/.test(name) || ['plan-backup', 'check-fences', 'inspect-restore', 'janitor'].includes(name);
    expect([name, reads(name, /Secretsdefaultkvfiles/)]).toEqual([name, isOfRole]);
    expect([name, reads(name, /:lightrag-files/)]).toEqual([name, isOfRole]);
  }
  own.hasOutput('KvFilesSecretArn', { Description: 'Connection of "default/kv_files"' });
});

test('nobody may change or replace a credential', () => {
  for (const name of names) {
    const actions = of(name).flatMap((statement) => statement.actions);
    expect(
      actions.filter((action) => /secretsmanager:(?!GetSecretValue|DescribeSecret)/.test(action)),
    ).toEqual([]);
  }
});

describe('in the bucket', () => {
  const who = (action: string, pattern: string) =>
    steps.filter((name) => keys(name, action).some((key) => key === pattern)).sort();

  test('only the seal writes archives, and only the catalog step, the copying and the verifying function write catalog records', () => {
    expect(who('s3:PutObject', 'backups/*')).toEqual([]);
    expect(who('s3:PutObject', 'backups/*.json')).toEqual(['catalog-backup', 'copy-backup', 'verify-stored']);
    expect(who('s3:PutObject', 'backups/*.ngbak')).toEqual(['seal-backup']);
    expect(who('s3:AbortMultipartUpload', 'backups/*.ngbak')).toEqual(['janitor', 'seal-backup']);
  });

  test('no workflow deletes catalog records, and only the janitor deletes an archive that was never catalogued', () => {
    expect(who('s3:DeleteObject', 'backups/*')).toEqual([]);
    expect(who('s3:DeleteObject', 'backups/*.json')).toEqual([]);
    expect(who('s3:DeleteObject', 'backups/*.ngbak')).toEqual(['janitor']);
    expect(who('s3:DeleteObject', 'uploads/*')).toEqual(['janitor']);
    expect(who('s3:DeleteObject', 'locks/*')).toEqual(['begin-restore', 'janitor']);
  });

  test('exporters see no archive, no upload and no lock', () => {
    for (const store of ['graph', 'vectors', 'kv', 'config']) {
      expect(keys(`export-${store}`, 's3:GetObject')).toEqual([
        'jobs/*/progress/*',
        ...(store === 'kv' ? ['selftest/*'] : []),
        'staging/*',
      ]);
      expect(keys(`export-${store}`, 's3:PutObject')).toEqual(['jobs/*', 'staging/*']);
    }
  });

  test('settings made without a deployment are read only by the functions that apply them, and changed only by the API', () => {
    const all = (action: string) =>
      names.filter((name) => keys(name, action).some((key) => key.startsWith('settings/'))).sort();
    expect(all('s3:GetObject')).toEqual([
      ...['admit-restore', 'api', 'apply-retention', 'catalog-backup', 'check-fences', 'janitor', 'notify'],
      ...['plan-backup', 'verify-stored', 'watch-backups'],
    ]);
    const policy = names.filter((name) => keys(name, 's3:GetObject').includes(RETENTION_KEY));
    expect(policy.sort()).toEqual(['api', 'apply-retention']);
    expect(all('s3:PutObject')).toEqual(['api']);
    expect(all('s3:DeleteObject')).toEqual(['api']);
  });

  test('the records of drills are written by the janitor, read for the API and the verdict, and deleted by no role', () => {
    const all = (action: string) => names.filter((name) => keys(name, action).includes('drills/*')).sort();
    // The janitor remembers the last one that passed, which the verdict needs.
    expect(all('s3:GetObject')).toEqual(['api', 'janitor', 'notify', 'watch-backups']);
    expect(all('s3:PutObject')).toEqual(['janitor']);
    expect(all('s3:DeleteObject')).toEqual([]);
  });

  test('the files of the self-test are read by the functions that reach key-value stores, and written by the importer only', () => {
    const all = (action: string) => names.filter((name) => keys(name, action).includes('selftest/*')).sort();
    const readers = ['check-fences', 'export-kv', 'inspect-restore', 'plan-backup', 'restore-kv'];
    expect(all('s3:GetObject')).toEqual(readers);
    expect(all('s3:PutObject')).toEqual(['restore-kv']);
    expect(all('s3:DeleteObject')).toEqual(['restore-kv']);
  });

  test('caches that the API and retention read cannot be written by a step of a workflow', () => {
    const writers = names.filter((name) =>
      keys(name, 's3:PutObject').some((key) => 'cache/catalog.json'.startsWith(key.split('*')[0] ?? '')),
    );
    expect(writers.sort()).toEqual(['api', 'apply-retention', 'notify', 'watch-backups']);
  });

  test('no workflow writes into uploads', () => {
    expect(who('s3:PutObject', 'uploads/*')).toEqual([]);
  });

  test('roles that read may also list, so that a missing record is not mistaken for a forbidden one', () => {
    for (const name of names) {
      const reads = keys(name, 's3:GetObject').length > 0;
      const lists = of(name).some(
        ({ actions, condition }) => actions.includes('s3:ListBucket') && condition === undefined,
      );
      expect([name, lists]).toEqual([name, reads]);
    }
  });

  test('roles that read may decrypt, roles that write may encrypt, and none manages the key', () => {
    for (const name of names) {
      const kms = of(name)
        .filter(({ resources }) => resources.some((resource) => resource.startsWith('<ArchiveKey')))
        .flatMap(({ actions }) => actions)
        .sort();
      const writes = keys(name, 's3:PutObject').length > 0;
      expect([name, [...new Set(kms)]]).toEqual([
        name,
        writes ? ['kms:Decrypt', 'kms:GenerateDataKey'] : ['kms:Decrypt'],
      ]);
    }
  });
});

test('only functions that take locks read executions, and only the janitor starts one: a rollback', () => {
  const who = (action: string) =>
    steps.filter((name) => of(name).some(({ actions }) => actions.includes(action))).sort();
  expect(who('states:DescribeExecution')).toEqual([
    'admit-restore',
    'begin-restore',
    'janitor',
    'plan-backup',
  ]);
  expect(who('states:StartExecution')).toEqual(['janitor']);
  expect(steps.flatMap(of).flatMap(({ actions }) => actions)).not.toContain('states:StopExecution');
});

test('only the functions that call hooks may do so, and only the configured hooks', () => {
  const pause = 'arn:aws:lambda:eu-central-1:111122223333:function:pause-writers';
  const url = 'https://example.com/resume';
  const withHooks = permissions(
    synthesize({
      targets: {
        default: {
          stores: { kv: { kind: 'redis' } },
          hooks: { pause: { lambda: pause }, resume: { url, secret: 'team/webhook' } },
        },
      },
    }),
  );
  const callers = [...withHooks].filter(([, statements]) =>
    statements.some(
      ({ actions, resources }) => actions.includes('lambda:InvokeFunction') && resources.includes(pause),
    ),
  );
  expect(callers.map(([name]) => name).sort()).toEqual(['begin-restore', 'janitor', 'plan-backup']);
  const signers = [...withHooks].filter(([, statements]) =>
    statements.some(({ resources }) => resources.some((resource) => resource.includes('team/webhook'))),
  );
  expect(signers.map(([name]) => name).sort()).toEqual(['begin-restore', 'janitor', 'plan-backup']);
});

test('the configuration of a running system is read by the functions that save and compare it, and no other file in its folder', () => {
  const location = 's3://team-settings/kb';
  const configured = permissions(
    synthesize({
      targets: {
        default: {
          profile: 'lightrag',
          parameters: { workspace: 'a' },
          stores: { kv: { kind: 'redis' } },
          configuration_folder: { location, files: ['prompts.yaml'] },
        },
      },
    }),
  );
  const found = [...configured].flatMap(([name, statements]) =>
    statements
      .filter(({ resources }) => resources.some((resource) => resource.includes('team-settings')))
      .map(({ actions, resources, condition }) => ({ name, actions, resources, condition })),
  );
  const keys = ['kb/prompts.yaml', 'kb/.env', 'kb/config.ini'];
  const expected = ['inspect-restore', 'plan-backup'].flatMap((name) => [
    {
      name,
      actions: ['s3:ListBucket'],
      resources: ['arn:aws:s3:::team-settings'],
      condition: { StringEquals: { 's3:prefix': keys } },
    },
    {
      name,
      actions: ['s3:GetObject'],
      resources: keys.map((key) => `arn:aws:s3:::team-settings/${key}`),
      condition: undefined,
    },
  ]);
  expect(found.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))).toEqual(expected);
});

describe('file stores', () => {
  const files = () =>
    synthesize({
      targets: {
        default: { stores: { kv: { kind: 'files', buckets: ['graphrag-files'] }, graph: { kind: 'neo4j' } } },
      },
      ...MOUNTED,
    });

  test('in a bucket are read by the functions of that store, and written only by its restore and the janitor', () => {
    const all = permissions(files());
    const who = (action: string, resource = 'arn:aws:s3:::graphrag-files/*') =>
      [...all]
        .filter(([, statements]) =>
          statements.some(
            ({ actions, resources }) => actions.includes(action) && resources.includes(resource),
          ),
        )
        .map(([name]) => name)
        .sort();
    expect(who('s3:GetObject')).toEqual([
      'check-fences',
      'export-kv',
      'inspect-restore',
      'janitor',
      'plan-backup',
      'restore-kv',
    ]);
    expect(who('s3:PutObject')).toEqual(['janitor', 'restore-kv']);
    expect(who('s3:DeleteObject')).toEqual(['janitor', 'restore-kv']);
    expect(who('s3:AbortMultipartUpload')).toEqual(['janitor', 'restore-kv']);
    expect(who('s3:ListBucketMultipartUploads', 'arn:aws:s3:::graphrag-files')).toEqual([
      'janitor',
      'restore-kv',
    ]);
  });

  test('in a file system are mounted in the functions that access file stores, and nowhere else', () => {
    const found = files().findResources('AWS::Lambda::Function');
    const mounted = Object.values(found)
      .filter(({ Properties }) => Properties.FileSystemConfigs?.[0]?.LocalMountPath === '/mnt/graphrag')
      .map(({ Properties }) => Properties.FunctionName.replace('Ngbak-', ''));
    expect(mounted.sort()).toEqual([
      'check-fences',
      'export-kv',
      'inspect-restore',
      'janitor',
      'plan-backup',
      'restore-kv',
    ]);
  });

  test('and servers in a network are reached from there; functions that need only AWS stay outside', () => {
    const found = Object.values(files().findResources('AWS::Lambda::Function'));
    const within = found.filter(({ Properties }) => Properties.VpcConfig !== undefined);
    expect(within).toHaveLength(10);
    for (const { Properties } of within) {
      expect(Properties.VpcConfig).toEqual({
        SecurityGroupIds: ['sg-0a1b2c3d'],
        SubnetIds: ['subnet-0a1b2c3d'],
      });
    }
  });
});
