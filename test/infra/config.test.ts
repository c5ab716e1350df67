import { randomBytes } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { readDeployment, runtimeConfig } from '../../infra/config.ts';
import { readConfig } from '../../shared/core/config-text.ts';
import { InvalidInputError } from '../../shared/core/errors.ts';
import { DEPLOYMENT, synthesize } from './template.ts';
import { MOUNTED } from './variants.ts';

const withRest = (rest: object) => () => readDeployment({ ...DEPLOYMENT, ...rest });

describe('the configuration', () => {
  test('needs nothing but targets', () => {
    const { targets, retention: _, ...rest } = readDeployment(DEPLOYMENT);
    expect(Object.keys(targets)).toEqual(['default', 'other']);
    expect(rest).toEqual({
      stackName: 'Ngbak',
      schedule: { enabled: true, service: 'scheduler', time: '03:00', timeZone: 'UTC' },
      alarms: { enabled: true, topicArns: [] },
      // S3's limits: 10,000 parts of 5 GiB.
      uploadBytesMax: 10_000 * 5 * 1024 ** 3,
      exportersPerStore: 4,
      exporterMemoryMb: 3008,
      api: { enabled: true },
      architecture: 'arm64',
      nodeVersion: 24,
      timeoutDays: 7,
      confirmationHours: 24,
      logRetentionDays: 90,
      metricsDashboard: true,
      allowedOrigins: [],
      copies: {},
      storageClass: 'STANDARD',
      transitions: [],
      removal: 'retain',
      tags: {},
    });
  });

  test('is the same from cdk.json and as text from the command line', () => {
    expect(readDeployment(JSON.stringify(DEPLOYMENT))).toEqual(readDeployment(DEPLOYMENT));
  });

  test('that is missing is reported, with where to put it', () => {
    expect(() => readDeployment(undefined)).toThrow(/"ngbak" is missing/);
    expect(() => readDeployment('{"targets":')).toThrow(/is not JSON/);
  });

  test.each([
    [{ targets: {} }, /ngbak\.targets: must hold at least one target/],
    [{ targets: { 'a b': { stores: {} } } }, /ngbak\.targets/],
    [
      { targets: { 'ngbak-selftest': { stores: {} } } },
      /ngbak\.targets: must not have a target "ngbak-selftest"/,
    ],
    [
      { schedule: { time: '25:00' } },
      /ngbak\.schedule\.time: must be a time of day such as "03:00" \(received "25:00"\)/,
    ],
    [
      { schedule: { timeZone: 'Mars/Olympus' } },
      /ngbak\.schedule\.timeZone: .*"Europe\/Berlin" \(received "Mars\/Olympus"\)/,
    ],
    ...['db-0A1B/*', '*/ngbak', 'db-0A1B'].map((user): [object, RegExp] => [
      {
        targets: {
          default: {
            stores: {
              kv: {
                kind: 'postgres',
                databaseUsers: [`arn:aws:rds-db:eu-central-1:111122223333:dbuser:${user}`],
              },
            },
          },
        },
      },
      /ngbak\.targets\.default\.stores\.kv\.databaseUsers\.0: .*without wildcards/,
    ]),
    [
      {
        targets: {
          default: {
            stores: {
              kv: {
                kind: 'redis',
                databaseUsers: ['arn:aws:rds-db:eu-central-1:111122223333:dbuser:db-0A1B/ngbak'],
              },
            },
          },
        },
      },
      /kv\.databaseUsers is for stores of the kind "postgres"/,
    ],
    [{ storageClass: 'GLACIER' }, /ngbak\.storageClass: .*read back before .* \(received "GLACIER"\)/],
    [{ transitions: [{ days: 0, storageClass: 'GLACIER' }] }, /ngbak\.transitions\.0\.days/],
    [{ transitions: [{ days: 9, storageClass: 'STANDARD' }] }, /ngbak\.transitions\.0\.storageClass/],
    [
      { transitions: [{ days: 29, storageClass: 'STANDARD_IA' }] },
      /ngbak\.transitions\.0 is not possible: .*after 30 days at the earliest/,
    ],
    [{ timeoutDays: 400 }, /ngbak\.timeoutDays: .*365 \(received 400\)/],
    [{ logRetentionDays: 91 }, /ngbak\.logRetentionDays: must be one of 1, 3, .* \(received 91\)/],
    [{ removal: 'maybe' }, /ngbak\.removal: .*"retain"\|"destroy"/],
    [{ stackName: '9 lives' }, /ngbak\.stackName: .* \(received "9 lives"\)/],
    [{ allowedOrigins: ['ftp://example.com'] }, /ngbak\.allowedOrigins\.0/],
    [
      {
        network: {
          vpcId: 'x',
          subnetIds: ['subnet-0a1b2c3d'],
          securityGroupIds: ['sg-0a1b2c3d'],
        },
      },
      /ngbak\.network\.vpcId: must be a VPC id/,
    ],
    [{ retentoin: {} }, /"retentoin"/],
  ])('refuses %j and states what is allowed', (rest, message) => {
    expect(withRest(rest)).toThrow(message);
  });

  test.each([
    ['kind', { stores: { kv: { kind: 'mongodb' } } }, /no adapter "mongodb".*"kv"/],
    ['kind for that store', { stores: { graph: { kind: 'redis' } } }, /no adapter "redis".*"graph"/],
    ['profile', { profile: 'my-rag', stores: { kv: { kind: 'redis' } } }, /my-rag/],
    [
      'scope',
      { stores: { kv: { kind: 'redis', scope: { prefiks: 'x:' } } } },
      /targets\.default\.stores\.kv.*prefiks/,
    ],
  ])('with an invalid %s is refused before anything is deployed', (_, target, message) => {
    expect(withRest({ targets: { default: target } })).toThrow(message);
  });

  test('refuses a file system outside of a network, where Lambda cannot mount it', () => {
    const { fileSystem } = MOUNTED;
    expect(withRest({ fileSystem })).toThrow(/fileSystem needs ngbak\.network/);
  });

  test('refuses a configuration folder that the functions do not have, or that is elsewhere', () => {
    const withFolder = (location: string, rest: object = {}) =>
      withRest({
        targets: { default: { stores: { kv: { kind: 'redis' } }, configuration_folder: { location } } },
        ...rest,
      });
    expect(withFolder('/mnt/graphrag/settings')).toThrow(
      /configuration_folder is a folder that the functions/,
    );
    expect(withFolder('/mnt/x/../../etc')).toThrow(/location: must be s3:/);
    const files = { location: 's3://settings/kb', files: ['../.env'] };
    expect(
      withRest({
        targets: { default: { stores: { kv: { kind: 'redis' } }, configuration_folder: files } },
      }),
    ).toThrow(/must be the name of a file/);
  });

  const bucket = 'copies-of-team-a';
  test.each([
    ['without a bucket', {}, /ngbak\.copies\.vault\.bucket/],
    ['in an unknown storage class', { bucket, storageClass: 'COLD' }, /storageClass: .*"DEEP_ARCHIVE"/],
    ['of an account by its name', { bucket, account: 'team-a' }, /account: must be the 12 digits/],
    ['of a target that does not exist', { bucket, targets: ['typo'] }, /names "typo", which is not a target/],
    [
      'that would expire while it is locked',
      { bucket, keepDays: 30, lock: { mode: 'compliance', days: 31 } },
      /keepDays: must not be less than "lock\.days"/,
    ],
    ['in the archive bucket', { bucket: 'archives' }, /has the same bucket as "archiveBucket"/],
    ['in the same place as another', { bucket: 'taken' }, /has the same bucket as copy "other"/],
  ])('refuses a copy %s', (_, vault, message) => {
    const copies = { other: { bucket: 'taken' }, vault };
    expect(withRest({ copies, archiveBucket: { name: 'archives' } })).toThrow(message);
  });

  test('of a copy reaches the functions', () => {
    const readRoleArn = 'arn:aws:iam::444455556666:role/ReadBackups';
    const vault = { bucket, prefix: 'team/kb', region: 'eu-west-1', keepDays: 90, readRoleArn };
    const { copies } = runtimeConfig(readDeployment({ ...DEPLOYMENT, copies: { vault } }), () => 'secret');
    expect(copies).toEqual({
      vault: {
        ...{ bucket, prefix: 'team/kb', region: 'eu-west-1' },
        ...{ storage_class: 'STANDARD', keep_days: 90, read_role_arn: readRoleArn },
      },
    });
  });

  test('reaches the functions with the names of secrets and without what only the stack needs', () => {
    const deployment = readDeployment({
      targets: { default: { stores: { kv: { kind: 'files', buckets: ['graphrag-files'] } } } },
    });
    expect(runtimeConfig(deployment, (target, store) => `secret of ${target}/${store}`)).toEqual({
      retention: deployment.retention,
      upload_bytes_max: deployment.uploadBytesMax,
      storage_class: 'STANDARD',
      transitions: [],
      targets: {
        default: {
          profile: 'custom',
          shrink_warning_percent: 50,
          full_reading: { every_backups: 24, every_days: 7 },
          parameters: {},
          configuration: {},
          stores: { kv: { kind: 'files', secret: 'secret of default/kv' } },
        },
      },
    });
  });

  test('that is too large for the environment of a function is refused before the deployment', () => {
    // Text that is barely compressible.
    const configuration = { prompt: randomBytes(4000).toString('base64') };
    const tooLarge = /compressed, has \d+ bytes with "allowedOrigins"; .* can hold \d+/;
    expect(() =>
      synthesize({ targets: { default: { stores: { kv: { kind: 'redis' } }, configuration } } }),
    ).toThrow(tooLarge);
    const allowedOrigins = Array.from({ length: 100 }, (_, index) => `https://page-${index}.ops.example.com`);
    expect(() => synthesize({ allowedOrigins })).toThrow(tooLarge);
  });

  test('of many targets is compressed for the environment, and read unchanged by the functions', () => {
    const targets = Object.fromEntries(
      Array.from({ length: 40 }, (_, index) => [
        `team-${index}`,
        {
          profile: 'ngraf-023',
          parameters: { namespace: `team-${index}` },
          stores: { graph: { kind: 'neo4j' }, vectors: { kind: 'qdrant' }, kv: { kind: 'redis' } },
        },
      ]),
    );
    const found = Object.values(synthesize({ targets }).findResources('AWS::Lambda::Function'));
    const texts = new Set(found.map(({ Properties }) => Properties.Environment.Variables.NGBAK_CONFIG));
    expect(texts.size).toBe(1);
    const [text] = texts;
    expect(text).toMatch(/^gzip:/);
    const deployment = readDeployment({ targets });
    const expected = runtimeConfig(deployment, (target, store) => `Ngbak/${target}/${store}`);
    expect(readConfig({ NGBAK_CONFIG: text })).toEqual(expected);
    for (const damaged of ['gzip:', 'gzip:AAAA', `${text.slice(0, 100)}`]) {
      expect(() => readConfig({ NGBAK_CONFIG: damaged })).toThrow(InvalidInputError);
    }
  });

  test('with rules for the schedule in another zone than UTC is refused with the reason', () => {
    expect(withRest({ schedule: { service: 'rules', timeZone: 'Europe/Berlin' } })).toThrow(
      /"rules" needs "timeZone": "UTC"/,
    );
  });
});
