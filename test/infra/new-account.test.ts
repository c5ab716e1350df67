import { expect, test } from '@jest/globals';
import type { Template } from 'aws-cdk-lib/assertions';
import { DATA_MB } from '../../infra/functions.ts';
import { synthesize } from './template.ts';

/** Most memory that Lambda gives a function of a new AWS account, in MB (Lambda quotas). */
const NEW_ACCOUNT_MEMORY_MB = 3008;

const functions = (template: Template) => Object.values(template.findResources('AWS::Lambda::Function'));

test('no function needs more memory than a new AWS account allows', () => {
  const sizes = functions(synthesize()).map(({ Properties }) => Number(Properties.MemorySize));
  expect(Math.max(...sizes)).toBeLessThanOrEqual(NEW_ACCOUNT_MEMORY_MB);
});

test('no function reserves concurrency, of which a new AWS account has none to spare', () => {
  for (const { Properties } of functions(synthesize())) {
    expect(Properties.ReservedConcurrentExecutions).toBeUndefined();
  }
});

test('an account that allows more memory gives it to the functions that move data, and to no other', () => {
  const usual = functions(synthesize());
  const larger = functions(synthesize({ exporterMemoryMb: 5308 }));
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
});
