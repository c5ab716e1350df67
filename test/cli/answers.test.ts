import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { z } from 'zod';
import { ANSWERS } from '../../cli/answers.ts';
import { CALLS, type CallName } from '../../shared/core/calls.ts';
import { OPERATIONS } from '../../shared/operations/table.ts';
import { run } from './run.ts';

/** Fields of the responses of a release, by method and path, from its OpenAPI document; `!` follows required ones. */
const Release = z.record(z.string(), z.array(z.string()));

const release = async (version: string) =>
  Release.parse(JSON.parse(await readFile(join(import.meta.dirname, `answers-${version}.json`), 'utf8')));

/** The paths of all required fields of a schema, such as `backups[].records`. */
function requiredFields(schema: z.ZodType): Set<string> {
  const fields = new Set<string>();
  const walk = (node: unknown, path: string): void => {
    if (typeof node !== 'object' || node === null) return;
    const {
      anyOf = [],
      properties = {},
      required = [],
      items,
      additionalProperties,
      propertyNames,
    } = node as Node;
    for (const inner of anyOf) walk(inner, path);
    for (const [name, inner] of Object.entries(properties)) {
      const field = path === '' ? name : `${path}.${name}`;
      if (required.includes(name)) fields.add(field);
      walk(inner, field);
    }
    walk(items, `${path}[]`);
    // OpenAPI lists these as properties of a record with known names. Earlier deployments send no others.
    const names = [propertyNames, ...(propertyNames?.anyOf ?? [])].flatMap((one) => one?.enum ?? []);
    const members = names.length > 0 ? names.map((name) => `${path}.${name}`) : [`${path}{}`];
    for (const member of members) walk(additionalProperties, member);
  };
  walk(z.toJSONSchema(schema, { io: 'input', reused: 'inline', unrepresentable: 'any' }), '');
  return fields;
}
interface Names {
  readonly enum?: string[];
}
interface Node {
  readonly anyOf?: unknown[];
  readonly properties?: Record<string, unknown>;
  readonly required?: string[];
  readonly items?: unknown;
  readonly additionalProperties?: unknown;
  readonly propertyNames?: Names & { readonly anyOf?: readonly Names[] };
}

test.each(['0.1.0'])('requires no field that deployments of version %s do not send', async (version) => {
  const released = await release(version);
  const parentOf = (field: string) => field.replace(/(\.[^.]*|^[^.]*)$/, '').replace(/(\[\]|\{\})+$/, '');
  const missing: string[] = [];
  let compared = 0;
  for (const name of Object.keys(CALLS) as CallName[]) {
    const { method, path } = CALLS[name];
    const sent = released[`${method} ${path}`];
    if (sent === undefined) continue;
    const known = new Set(sent.map((field) => field.replace(/!$/, '')));
    const accepted: z.ZodType =
      name in ANSWERS ? ANSWERS[name as keyof typeof ANSWERS] : OPERATIONS[name].output;
    for (const field of requiredFields(accepted)) {
      const parent = parentOf(field);
      // An operation that did not exist requires nothing.
      if (parent !== '' && !known.has(parent)) continue;
      compared++;
      if (!sent.includes(`${field}!`)) missing.push(`${name}: ${field}`);
    }
  }
  expect(compared).toBeGreaterThan(200);
  expect(missing).toEqual([]);
});

test('a deployment must send all fields of its own version', () => {
  for (const [name, accepted] of Object.entries(ANSWERS)) {
    const own = requiredFields(OPERATIONS[name as keyof typeof ANSWERS].output);
    const optional = [...own].filter((field) => !requiredFields(accepted).has(field));
    expect({ name, optional }).not.toEqual({ name, optional: [] });
  }
});

/** Responses of a deployment of version 0.1.0. */
const BACKUP = {
  backup_id: 'snapshot_2026-11-20T03-00-00Z',
  target: 'default',
  job_id: 'backup_1',
  type: 'full',
  stores: ['graph', 'config'],
  created_at: '2026-11-20T03:00:00.000Z',
  completed_at: '2026-11-20T03:00:10.000Z',
  duration_seconds: 10,
  uncompressed_bytes: 5000,
  statistics: { documents: 1 },
  verification: { state: 'verified', at: '2026-11-20T03:00:09.000Z' },
  tags: ['env=prod'],
};
const DETAILS = {
  ...BACKUP,
  record_version: 1,
  archive: {
    key: `backups/${BACKUP.backup_id}.ngbak`,
    bytes: 1000,
    entries: 3,
    codec: 'gzip',
    crc32: 'AAAAAA==',
    checksum: '0'.repeat(64),
  },
  tallies: { graph: { nodes: { count: 7, digest: '0'.repeat(64) } } },
  consistency: { grade: 'unchanged', changes: {} },
  ngbak_version: '0.1.0',
};
const SUMMARY = {
  ...BACKUP,
  bytes: 1000,
  bytes_per_second: 500,
  checksum: '0'.repeat(64),
  consistency: 'unchanged',
};

test('list, show and tag work with the HTTP API of a deployment of version 0.1.0', async () => {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '', 'http://localhost');
    const answer = pathname === '/api/v1/backup' ? { backups: [SUMMARY], total: 1, unreadable: [] } : DETAILS;
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  const environment = { NGBAK_API_URL: `http://127.0.0.1:${port}`, NGBAK_API_KEY: 'ngbak_old', TZ: 'UTC' };
  try {
    const listed = await run(['list'], environment);
    expect([listed.code, listed.stderr]).toEqual([0, '']);
    expect(listed.stdout).toMatch(
      /2026-11-20 03:00:00 \(.*\) +default +full +1 kB +verified +unchanged +by policy +env=prod/,
    );
    for (const args of [['show'], ['tag']]) {
      const shown = await run(
        [...args, BACKUP.backup_id, ...(args[0] === 'tag' ? ['env=prod'] : [])],
        environment,
      );
      expect([shown.code, shown.stderr]).toEqual([0, '']);
      expect(shown.stdout).toMatch(/^State: +verified$/m);
      expect(shown.stdout).toMatch(/nodes +7/);
      expect(shown.stdout).not.toMatch(/undefined|Stored in|NaN/);
    }
  } finally {
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  }
});
