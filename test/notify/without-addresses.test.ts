import { describe, expect, test } from '@jest/globals';
import { withoutAddresses } from '../../shared/notify/without-addresses.ts';
import { fc } from '../fast-check.ts';

const OMITTED = '(address omitted)';

describe('a text for receivers', () => {
  test.each([
    ['neo4j+s://a1b2.databases.neo4j.io:7687', OMITTED],
    ['at redis://:hunter2@cache.example.com:6379/0, twice', `at ${OMITTED}, twice`],
    ['s3://the-bucket/backups/b.ngbak no longer exists.', `${OMITTED} no longer exists.`],
    ['connect ECONNREFUSED 10.0.0.5:6379', `connect ECONNREFUSED ${OMITTED}`],
    ['getaddrinfo ENOTFOUND qdrant', `getaddrinfo ENOTFOUND ${OMITTED}`],
    ['host=db.internal.example', `host=${OMITTED}`],
    ['ops@mail.example.com', `ops@${OMITTED}`],
    ['bolt at [fd00::7]:7687 is down', `bolt at ${OMITTED} is down`],
    ['fe80::1%eth0 or 2001:db8::8a2e:370:7334.', `${OMITTED} or ${OMITTED}.`],
    ['qdrant:6333 and (my-redis.svc.cluster.local)', `${OMITTED} and (${OMITTED})`],
    ['"neo4j.internal": reset', `"${OMITTED}": reset`],
  ])('omits the address in %s', (text, expected) => {
    expect(withoutAddresses(text)).toBe(expected);
  });

  test.each([
    'Run `ngbak show snapshot_2026-11-29T03-00-00Z`. See docs/runbook.md#a-rollback-failed.',
    'backup_20260102_030000.ngbak has 1.5 MB in manifest.json, e.g. 12,345 records at 03:00.',
    'Neo.ClientError.Security.Unauthorized: ngbak.targets.kb is not valid',
    'Neo4j 5.26.0 and Qdrant 1.16.3: kv "ANY:1" changed at 2026-11-29T03:00:00.000Z',
    'Schedule nightly should have run at 2026-11-29T03:00:00.000Z and did not.',
  ])('keeps %s', (text) => {
    expect(withoutAddresses(text)).toBe(text);
  });

  test('never contains a URL, an IP address or a host with a port, wherever it stands', () => {
    const address = fc.oneof(
      fc.webUrl(),
      fc.ipV4(),
      fc.tuple(fc.ipV4(), fc.integer({ min: 10, max: 65_535 })).map(([ip, port]) => `${ip}:${port}`),
      fc.tuple(fc.domain(), fc.integer({ min: 10, max: 65_535 })).map(([host, port]) => `${host}:${port}`),
    );
    const around = fc.constantFrom(' ', '"', "'", '(', ')', ', ', '; ', '=', '\n');
    fc.assert(
      fc.property(address, around, around, (found, before, after) => {
        expect(withoutAddresses(`at${before}${found}${after}end`)).not.toContain(found);
      }),
      { numRuns: 500 },
    );
  });
});
