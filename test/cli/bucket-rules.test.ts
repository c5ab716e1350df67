import type { LifecycleRule, TransitionStorageClass } from '@aws-sdk/client-s3';
import { expect, test } from '@jest/globals';
import { checkRules } from '../../cli/bucket-rules.ts';

const REQUIRED: LifecycleRule[] = [
  { ID: 'jobs', Status: 'Enabled', Filter: { Prefix: 'kb/jobs/' }, Expiration: { Days: 90 } },
  {
    ...{ ID: 'uploads', Status: 'Enabled', Filter: { Prefix: '' } },
    AbortIncompleteMultipartUpload: { DaysAfterInitiation: 8 },
  },
];
const TAG = { Key: 'ngbak', Value: 'catalogued' };
const move = (Filter: LifecycleRule['Filter'], StorageClass: TransitionStorageClass = 'GLACIER') => ({
  ...{ ID: 'cold', Status: 'Enabled' as const, Filter },
  Transitions: [{ Days: 30, StorageClass }],
});
const check = (rules: LifecycleRule[], moves = false) =>
  checkRules('the-bucket', 'kb/', [...REQUIRED, ...rules], moves);

test.each([
  ['the whole bucket', {}],
  ['a prefix with the records', { Prefix: 'kb/' }],
  ['large objects, which records may be', { And: { Prefix: 'kb/backups/', ObjectSizeGreaterThan: 131_072 } }],
])('an existing bucket whose rule moves %s to cold storage fails the check', (_, filter) => {
  expect(() => check([move(filter)])).toThrow(/moves catalog records to cold storage by the rule "cold"/);
});

test.each([
  ['selects archives by their tag', move({ And: { Prefix: 'kb/backups/', Tags: [TAG] } })],
  ['moves to a class that can be read', move({ Prefix: 'kb/' }, 'STANDARD_IA')],
  ['is disabled', { ...move({}), Status: 'Disabled' as const }],
  ['is for other objects', move({ Prefix: 'logs/' })],
])('an existing bucket with a rule that %s passes the check', (_, rule) => {
  expect(check([rule])).toBe('set');
});

test('with transitions, a rule for catalogued archives is required', () => {
  const warning = expect.stringMatching(/no rule that moves archives .* tag ngbak=catalogued/);
  expect(check([], true)).toEqual({ warning });
  expect(check([move({ Tag: { Key: 'other', Value: 'x' } })], true)).toEqual({ warning });
  expect(check([move({ Tag: TAG })], true)).toBe('set');
  expect(check([move({ And: { Prefix: 'kb/backups/', Tags: [TAG] } })], true)).toBe('set');
});
