import { describe, expect, test } from '@jest/globals';
import type { Template } from 'aws-cdk-lib/assertions';
import { DATA_MB } from '../../infra/functions.ts';
import { permissions, synthesize } from './template.ts';

/** Largest memory of a function in a new AWS account, in MB (Lambda quotas). */
const NEW_ACCOUNT_MEMORY_MB = 3008;

/** An account with higher quotas than a new one. */
const LARGER = { exporterMemoryMb: 5308, api: { secret: 'Ngbak/api', reservedConcurrency: 5 } };

const functions = (template: Template) => Object.values(template.findResources('AWS::Lambda::Function'));

test('no function needs more memory than a new AWS account allows', () => {
  const sizes = functions(synthesize()).map(({ Properties }) => Number(Properties.MemorySize));
  expect(Math.max(...sizes)).toBeLessThanOrEqual(NEW_ACCOUNT_MEMORY_MB);
});

test('no function reserves concurrency, since a new AWS account has none to spare', () => {
  for (const { Properties } of functions(synthesize())) {
    expect(Properties.ReservedConcurrentExecutions).toBeUndefined();
  }
});

test('in an account that allows more memory, the functions that move data get it, and no others', () => {
  const usual = functions(synthesize());
  const larger = functions(synthesize(LARGER));
  const changed = usual.flatMap(({ Properties }, index) =>
    Properties.MemorySize === larger[index]?.Properties.MemorySize ? [] : [Properties],
  );
  expect(changed.map(({ FunctionName }) => FunctionName.replace('Ngbak-', '')).sort()).toEqual([
    'export-graph',
    'export-kv',
    'export-vectors',
    'inspect-restore',
    'restore-graph',
    'restore-kv',
    'restore-vectors',
    'verify-backup',
  ]);
  expect(new Set(changed.map(({ MemorySize }) => MemorySize))).toEqual(new Set([DATA_MB]));
  const reserved = larger.filter(({ Properties }) => Properties.ReservedConcurrentExecutions !== undefined);
  expect(reserved.map(({ Properties }) => Properties.FunctionName)).toEqual(['Ngbak-api']);
});

test('the resources of a failed first deployment are deleted, so that the next one can use their names', () => {
  const resources = synthesize().toJSON().Resources as Record<string, { DeletionPolicy?: string }>;
  const left = Object.entries(resources).filter(([, { DeletionPolicy }]) => DeletionPolicy === 'Retain');
  expect(left.map(([id]) => id)).toEqual([]);
});

test('an access list left by a removed stack can be reused by name, and no other is created', () => {
  const template = synthesize(LARGER);
  const names = Object.values(template.findResources('AWS::SecretsManager::Secret')).map(
    ({ Properties }) => Properties.Name,
  );
  expect(names).not.toContain('Ngbak/api');
  const api = functions(template).find(({ Properties }) => Properties.FunctionName === 'Ngbak-api');
  expect(api?.Properties.Environment.Variables.NGBAK_API_SECRET).toBe('Ngbak/api');
  const readable = permissions(template)
    .get('api')
    ?.filter(({ actions }) => actions.includes('secretsmanager:GetSecretValue'));
  expect(readable?.flatMap(({ resources }) => resources)).toEqual([
    'arn:aws:secretsmanager:eu-central-1:111122223333:secret:Ngbak/api-??????',
  ]);
});

describe('easily forgotten details:', () => {
  const properties = (type: string) =>
    Object.values(synthesize().findResources(type)).map(({ Properties }) => Properties);

  test('an empty object, which consoles create for folders, is not an upload', () => {
    const rule = properties('AWS::Events::Rule').find(({ Description }) => /uploaded/.test(Description));
    expect(rule?.EventPattern.detail.object).toEqual({
      key: [{ prefix: 'uploads/' }],
      size: [{ numeric: ['>', 0] }],
    });
  });

  test('every line of the access log states the request, and the log outlives the stack', () => {
    const [stage] = properties('AWS::ApiGatewayV2::Stage');
    const format = JSON.parse(stage?.AccessLogSettings.Format) as Record<string, string>;
    expect(Object.values(format)).toEqual(
      expect.arrayContaining(['$context.path', '$context.status', '$context.integrationErrorMessage']),
    );
    const logs = Object.values(synthesize().findResources('AWS::Logs::LogGroup'));
    const kept = logs.filter(({ DeletionPolicy }) => DeletionPolicy === 'RetainExceptOnCreate');
    const names = kept.map(({ Properties }) => JSON.stringify(Properties.LogGroupName));
    expect(names).toHaveLength(2);
    // Fixed names would conflict with the next deployment.
    for (const name of names) expect(name).toContain('AWS::StackId');
    expect(names.some((name) => name.includes('/aws/vendedlogs/'))).toBe(true);
  });
});

test('targets whose long names have the same start have distinct schedules', () => {
  const long = 'x'.repeat(60);
  const template = synthesize({
    targets: {
      [`${long}a`]: { stores: { kv: { kind: 'redis' } } },
      [`${long}b`]: { stores: { kv: { kind: 'redis' } } },
    },
  });
  const names = Object.values(template.findResources('AWS::Scheduler::Schedule')).map(
    ({ Properties }) => Properties.Name,
  );
  expect(new Set(names).size).toBe(2);
  for (const name of names) expect(name.length).toBeLessThanOrEqual(64);
});
