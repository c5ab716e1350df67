import { randomBytes } from 'node:crypto';
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { CreateSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { verifyArchive } from '../../../shared/archive/read/verify.ts';
import { catalogKey, signatureKey } from '../../../shared/aws/keys.ts';
import { CatalogRecord } from '../../../shared/catalog/record.ts';
import { BackupRequest } from '../../../shared/catalog/request.ts';
import type { TargetConfig } from '../../../shared/core/config.ts';
import type { OperationsContext } from '../../../shared/operations/context.ts';
import { verifyBackup } from '../../../shared/operations/verify-backup.ts';
import { S3Folder } from '../../../shared/stores/files/s3-folder.ts';
import { Carrier, stageCarried } from '../../../shared/workflows/backup/carry.ts';
import { readBackupPlan } from '../../../shared/workflows/backup/plan.ts';
import type { Environment } from '../../../shared/workflows/environment.ts';
import { readAll } from '../../archive/build.ts';
import { servers } from '../../servers.ts';
import { freshEnvironment } from '../../support/aws.ts';
import { signingPair } from '../../support/signing.ts';
import { LEG, type RunOptions, runBackup } from './run-backup.ts';

/** All steps of backups of files in S3, whose listing is their proof. Stores with servers have tests of their proofs. */

const MiB = 1024 ** 2;
const LARGE = randomBytes(6 * MiB);
/** Requests of all steps of a backup of one store and the configuration, except those of the janitor. */
const PUTS_MAX = 60;
const GETS_MAX = 60;
let environment: Environment;
let files: string;
let seconds: number;
let read: jest.SpiedFunction<S3Folder['read']>;

beforeEach(async () => {
  files = `files-${randomBytes(8).toString('hex')}`;
  const location = `s3://${files}/kb`;
  await new SecretsManagerClient({}).send(
    new CreateSecretCommand({ Name: files, SecretString: JSON.stringify({ location }) }),
  );
  environment = await freshEnvironment({ default: { stores: { kv: { kind: 'files', secret: files } } } });
  await environment.bucket.s3.send(new CreateBucketCommand({ Bucket: files }));
  await put('a.json', '{"a":1}');
  await put('b.bin', 'b');
  await put('c.json', '{"c":1}');
  seconds = 0;
  read = jest.spyOn(S3Folder.prototype, 'read');
});
afterEach(() => read.mockRestore());

const put = (name: string, Body: string | Uint8Array) =>
  environment.bucket.s3.send(new PutObjectCommand({ Bucket: files, Key: `kb/${name}`, Body }));

/** The next backup, an hour after the one before. Adds the number of files that were read. */
async function backUp(request: object = {}, options: Partial<RunOptions> = {}) {
  read.mockClear();
  const start = new Date(Date.UTC(2026, 0, 2, 3) + 3_600_000 * seconds++);
  const done = await runBackup(environment, request, { start, ...options });
  return { ...done, id: done.record.backup_id, reads: read.mock.calls.length, kv: done.record.readings?.kv };
}

/** Changes the target in the configuration. */
function configure(changes: Partial<TargetConfig>): void {
  const { default: target } = environment.config.targets;
  if (!target) throw new Error('no target');
  environment.config.targets.default = { ...target, ...changes };
}

/** Changes a catalog record behind the back of ngbak. */
async function tamper(id: string, change: (record: CatalogRecord) => object): Promise<void> {
  const { bucket } = environment;
  await bucket.updateRecord(catalogKey(id), CatalogRecord, (record) =>
    CatalogRecord.parse(record && { ...record, ...change(record) }),
  );
}

describe('a store that provably did not change', () => {
  test('is not read: its part of the last archive is in the new one, which is complete after that was deleted', async () => {
    // Large enough that S3 copies it.
    await put('b.bin', LARGE);
    const first = await backUp();
    expect(first.reads).toBe(3);
    expect(first.kv).toEqual({
      ...{ backup_id: first.id, at: first.record.created_at, carried: 0 },
      reason: 'no earlier good backup of it has the same settings',
    });
    const second = await backUp();
    expect(second.reads).toBe(0);
    expect(second.kv).toEqual({
      ...{ backup_id: first.id, at: first.record.created_at, carried: 1, from: first.id },
    });
    const third = await backUp();
    expect(third.kv).toEqual({ ...second.kv, carried: 2, from: second.id });
    expect(third.archive.manifest.readings?.kv).toMatchObject({ ...third.kv, proof: expect.any(Object) });
    for (const id of [first.id, second.id]) await environment.bucket.removeAll(`backups/${id}`);
    const check = await verifyArchive(third.source, { cursor: null, ...LEG });
    expect(check.problems).toEqual([]);
    expect(third.record.tallies.kv).toEqual(first.record.tallies.kv);
    expect(third.record.consistency).toEqual({ grade: 'unchanged', changes: {} });
    for await (const { name } of third.archive.entries('kv/')) {
      const path = name.replace(/^kv\/files\//, '');
      expect(['a.json', 'b.bin', 'c.json'].some((known) => path.includes(known))).toBe(true);
    }
    const large = [];
    for await (const entry of third.archive.entries('kv/'))
      if (entry.size === LARGE.length) large.push(entry);
    expect(large).toHaveLength(1);
    expect((await readAll(third.archive, large[0]?.name ?? '')).equals(LARGE)).toBe(true);
  });

  test.each<[string, () => Promise<unknown>]>([
    ['a file was overwritten with equal length', () => put('a.json', '{"a":2}')],
    ['a file was added', () => put('d.json', '{}')],
    [
      'a file was deleted',
      () => environment.bucket.s3.send(new DeleteObjectCommand({ Bucket: files, Key: 'kb/c.json' })),
    ],
  ])('is read if %s', async (_what, change) => {
    const first = await backUp();
    await change();
    const second = await backUp();
    expect(second.reads).toBeGreaterThan(0);
    expect(second.kv?.reason).toContain(`since ${first.id}, files: 3 files`);
    // And carried again afterwards.
    expect((await backUp()).kv?.from).toBe(second.id);
  });

  test('is read on request, for safety backups, and after the configured number of backups or days', async () => {
    configure({ full_reading: { every_backups: 3, every_days: 7 } });
    const first = await backUp();
    expect((await backUp({ full: true })).kv?.reason).toBe('a full reading was requested');
    expect((await backUp()).kv?.carried).toBe(1);
    expect((await backUp()).kv?.carried).toBe(2);
    expect((await backUp()).kv).toMatchObject({ carried: 0, reason: 'every 3 backups read it' });
    configure({ full_reading: { every_backups: 3, every_days: 1 / 24 } });
    expect((await backUp()).kv?.reason).toContain('it was last read');
    configure({ full_reading: { every_backups: 1, every_days: 7 } });
    expect((await backUp()).kv?.reason).toBe('every backup of this target reads everything');
    expect(first.kv?.carried).toBe(0);
    // A restore requests it.
    const request = BackupRequest.parse({ part_of: { job_id: 'restore', execution_arn: 'arn:x' } });
    const safety = {
      backup_id: 'x',
      created_at: new Date().toISOString(),
      target: 'default',
      request,
      scopes: {},
    };
    const { reading } = await new Carrier(environment, safety, { trusted: [] }).decide('kv', { values: {} });
    expect(reading.reason).toBe('safety backups read everything');
  });

  test('is read if it changed during the backup before, and the grade of a backup that it changes during is drifted', async () => {
    const first = await backUp({}, { during: async () => void (await put('a.json', '{"a":2}')) });
    expect(first.archive.manifest.readings?.kv?.proof).toBeUndefined();
    expect((await backUp()).kv?.reason).toBe(`it changed during ${first.id}, or had no proof then`);
    const third = await backUp({}, { during: async () => void (await put('a.json', '{"a":3}')) });
    expect(third.kv?.carried).toBe(1);
    expect(third.record.consistency.grade).toBe('drifted');
    const fourth = await backUp();
    expect(fourth.reads).toBe(3);
  });

  test('is not measured again after it was read, unless it may have changed', async () => {
    const list = jest.spyOn(S3Folder.prototype, 'list');
    let listings = 0;
    const run = async <T>(step: string, work: () => Promise<T>): Promise<T> => {
      list.mockClear();
      const result = await work();
      if (step === 'consistency') listings = list.mock.calls.length;
      return result;
    };
    try {
      const first = await backUp({}, { run });
      expect(first.record.consistency.grade).toBe('unchanged');
      // For the proof.
      expect(listings).toBe(1);
      const during = async () => void (await put('a.json', '{"a":2}'));
      const second = await backUp({ full: true }, { run, during });
      expect(second.record.consistency.grade).toBe('drifted');
      expect(second.record.consistency.changes.kv).toHaveLength(1);
      expect(listings).toBe(2);
    } finally {
      list.mockRestore();
    }
  });

  test('keeps the warnings of its reading', async () => {
    await put('folder/x.json', '{}');
    const first = await backUp();
    expect(first.record.warnings).toEqual([expect.objectContaining({ code: 'subfolders-left-out' })]);
    const second = await backUp();
    expect(second.kv?.carried).toBe(1);
    expect(second.record.warnings).toEqual(first.record.warnings);
  });
});

test('collections of Qdrant that did not change are carried as snapshots, with the references beside them', async () => {
  const { url, apiKey } = servers.qdrant;
  const name = `lightrag_vdb_entities_${randomBytes(6).toString('hex')}`;
  const ask = async (method: string, path: string, body?: object) => {
    const headers = { 'content-type': 'application/json', 'api-key': apiKey ?? '' };
    const answer = await fetch(`${url}${path}`, {
      method,
      headers,
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    if (!answer.ok) throw new Error(`${method} ${path}: ${await answer.text()}`);
  };
  await ask('PUT', `/collections/${name}`, { vectors: { size: 2, distance: 'Dot' } });
  const points = Array.from({ length: 300 }, (_, id) => ({
    id,
    vector: [id, 1],
    payload: { entity_name: `e${id}` },
  }));
  await ask('PUT', `/collections/${name}/points?wait=true`, { points });
  await new SecretsManagerClient({}).send(
    new CreateSecretCommand({
      Name: name,
      SecretString: JSON.stringify({ url, ...(apiKey ? { api_key: apiKey } : {}) }),
    }),
  );
  try {
    configure({
      profile: 'ngraf-023',
      parameters: { namespace: 'x', collections: [name] },
      stores: {
        vectors: { kind: 'qdrant', secret: name, scope: { collections: [name], method: 'snapshot' } },
      },
    });
    const first = await backUp();
    expect(first.record.readings?.vectors?.reason).toBe('no earlier good backup of it has the same settings');
    const second = await backUp();
    expect(second.record.readings?.vectors).toMatchObject({ carried: 1, from: first.id });
    expect(second.record.tallies).toEqual(first.record.tallies);
    expect(second.record.consistency).toEqual({ grade: 'unchanged', changes: {} });
    const namesOf = async ({ archive }: typeof first) => {
      const names: string[] = [];
      for await (const entry of archive.entries('')) if (entry.name.includes(name)) names.push(entry.name);
      return names;
    };
    expect(await namesOf(second)).toEqual(await namesOf(first));
    expect((await namesOf(second)).some((entry) => entry.startsWith('references/vectors/'))).toBe(true);
    await ask('PUT', `/collections/${name}/points?wait=true`, { points: [{ ...points[7], vector: [7, 2] }] });
    expect((await backUp()).record.readings?.vectors?.reason).toContain(
      `since ${second.id}, collection:${name}`,
    );
  } finally {
    await ask('DELETE', `/collections/${name}`);
  }
});

describe('what S3 proves to be the same is not read again by the verification', () => {
  /** Bytes of archives that this process has read from S3. */
  let moved: number;
  let altered: ((name: string, input: Record<string, unknown>) => void) | undefined;
  let answered: ((name: string, output: object) => void) | undefined;

  beforeEach(async () => {
    await put('b.bin', LARGE);
    moved = 0;
    altered = undefined;
    answered = undefined;
    environment.bucket.s3.middlewareStack.add(
      (next, { commandName = '' }) =>
        async (args) => {
          const input = args.input as Record<string, unknown>;
          altered?.(commandName, input);
          const result = await next(args);
          const { output } = result;
          if (commandName === 'GetObjectCommand' && String(input.Key).endsWith('.ngbak')) {
            moved += Number(Reflect.get(output, 'ContentLength'));
          }
          answered?.(commandName, output);
          return result;
        },
      { step: 'initialize', name: 'observing' },
    );
  });

  /** The next backup, and whether its verification read the carried data. */
  async function observed() {
    const after = { moved: 0 };
    const during = async () => {
      after.moved = moved;
    };
    const done = await backUp({}, { during });
    return { ...done, isRead: moved - after.moved > LARGE.length, moved: moved - after.moved };
  }

  test('and the archive passes every check of one that was read', async () => {
    const first = await backUp();
    expect(first.record.verification.by_checksum).toBeUndefined();
    expect(first.record.regions?.kv).toMatchObject({ backup_id: first.id, entries: 3 });
    const second = await observed();
    expect(second.isRead).toBe(false);
    expect(second.moved).toBeLessThan(LARGE.length / 10);
    const read_at = first.record.regions?.kv?.at;
    expect(second.record.verification.by_checksum).toEqual({ stores: ['kv'], read_at });
    expect(second.record.regions?.kv).toEqual(first.record.regions?.kv);
    // The configuration was read.
    expect(second.record.regions?.config?.backup_id).toBe(second.id);
    const third = await observed();
    expect(third.isRead).toBe(false);
    expect(third.record.regions?.kv).toEqual(first.record.regions?.kv);
    for (const id of [first.id, second.id]) await environment.bucket.removeAll(`backups/${id}`);
    const context = { bucket: environment.bucket } as OperationsContext;
    const verified = await verifyBackup(context, third.id, { cursor: null, ...LEG });
    expect(verified).toMatchObject({ done: true, is_valid: true, errors: [] });
    expect(verified.records).toMatchObject({ kv: { files: 3 } });
    // Every byte has been read now.
    expect(verified.metadata?.verification.by_checksum).toBeUndefined();
  });

  test('but after the configured number of backups, everything is', async () => {
    configure({ full_reading: { every_backups: 2, every_days: 7 } });
    await backUp();
    expect((await observed()).isRead).toBe(false);
    const third = await observed();
    expect(third.kv?.carried).toBe(0);
    expect(third.isRead).toBe(true);
    expect(third.record.regions?.kv?.backup_id).toBe(third.id);
  });

  type Region = NonNullable<NonNullable<CatalogRecord['regions']>['kv']>;
  test.each<[string, (region: Region) => Region | undefined]>([
    ['no region, as in earlier versions', () => undefined],
    ['another CRC-32', (region) => ({ ...region, crc32: 'AAAAAA==' })],
    ['another length', (region) => ({ ...region, bytes: region.bytes + 1 })],
    ['another number of entries', (region) => ({ ...region, entries: 2 })],
    ['other entries', (region) => ({ ...region, index: '0'.repeat(64) })],
  ])('unless the record of the earlier backup states %s', async (_what, change) => {
    const first = await backUp();
    await tamper(first.id, ({ regions: { kv, ...others } = {} }) => {
      const changed = kv && change(kv);
      return { regions: { ...others, ...(changed ? { kv: changed } : {}) } };
    });
    const second = await observed();
    expect(second.kv?.carried).toBe(1);
    expect(second.isRead).toBe(true);
    expect(second.record.verification.by_checksum).toBeUndefined();
    expect(second.record.regions?.kv).toMatchObject({ backup_id: second.id, entries: 3 });
    expect((await observed()).isRead).toBe(false);
  });

  test.each<[string, (head: object) => void]>([
    ['no checksum', (head) => Reflect.deleteProperty(head, 'ChecksumCRC32')],
    ['no type of the checksum', (head) => Reflect.deleteProperty(head, 'ChecksumType')],
    ['a checksum of the checksums of parts', (head) => Object.assign(head, { ChecksumType: 'COMPOSITE' })],
    ['another checksum', (head) => Object.assign(head, { ChecksumCRC32: 'AAAAAA==' })],
  ])('unless S3 states %s', async (_what, change) => {
    await backUp();
    let isSealed = false;
    answered = (name, output) => {
      if (name === 'CompleteMultipartUploadCommand') isSealed = true;
      if (isSealed && name === 'HeadObjectCommand') change(output);
    };
    const second = await observed();
    expect(second.kv?.carried).toBe(1);
    expect(second.isRead).toBe(true);
    expect(second.record.verification.by_checksum).toBeUndefined();
  });

  /** Other bytes than those that were verified, of the same length. */
  const shift = (name: string, input: Record<string, unknown>) => {
    if (name !== 'UploadPartCopyCommand') return;
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(String(input.CopySourceRange)) ?? [];
    input.CopySourceRange = `bytes=${Number(from) + 1}-${Number(to) + 1}`;
  };

  test('a copy of other bytes is refused by S3', async () => {
    await backUp();
    altered = shift;
    await expect(observed()).rejects.toThrow('differ from those that the exporters wrote');
  });

  test('a copy of other bytes that S3 completed without a comparison is read, and found', async () => {
    await backUp();
    altered = (name, input) => {
      shift(name, input);
      if (name === 'CompleteMultipartUploadCommand') delete input.ChecksumCRC32;
    };
    await expect(observed()).rejects.toThrow(`can't be restored: entry "kv/files/a.json"`);
  });

  test('a truncated copy is refused', async () => {
    await backUp();
    altered = (name, input) => {
      if (name !== 'UploadPartCopyCommand') return;
      const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(String(input.CopySourceRange)) ?? [];
      input.CopySourceRange = `bytes=${from}-${Number(to) - 1}`;
    };
    await expect(observed()).rejects.toThrow(/has \d+ bytes instead of \d+/);
  });

  test('warnings of the records are those of the reading', async () => {
    const first = await backUp();
    const found = { store: 'kv' as const, code: 'counts-not-compared', text: 'x' };
    await tamper(first.id, ({ regions }) => ({
      regions: { ...regions, kv: regions?.kv && { ...regions.kv, warnings: [found] } },
    }));
    const second = await observed();
    expect(second.isRead).toBe(false);
    expect(second.record.warnings).toEqual([found]);
    expect((await observed()).record.warnings).toEqual([found]);
  });
});

describe('only from an archive that was written in the same way, verified, and not changed since', () => {
  test.each<[string, object, () => void]>([
    ['another codec', { codec: 'zstd' }, () => undefined],
    ['another level', { level: 1 }, () => undefined],
    [
      'another scope',
      {},
      () => configure({ stores: { kv: { kind: 'files', secret: files, scope: { include: ['*.json'] } } } }),
    ],
  ])('not with %s', async (_what, request, change) => {
    await backUp();
    change();
    const second = await backUp(request);
    expect(second.kv?.reason).toBe('no earlier good backup of it has the same settings');
    // With the same settings again, and for partial backups as well.
    expect((await backUp(request)).kv).toMatchObject({ carried: 1, from: second.id });
    expect((await backUp({ ...request, stores: ['kv'] })).kv?.carried).toBe(2);
  });

  test.each<[string, (record: CatalogRecord) => object]>([
    [
      'was found damaged',
      ({ verification }) => ({ verification: { ...verification, state: 'damaged', problems: ['x'] } }),
    ],
    ['is a safety backup', () => ({ tags: ['pre-restore'] })],
    [
      'has an unacknowledged finding',
      () => ({ warnings: [{ store: 'kv', code: 'records-fell', text: 'x' }] }),
    ],
    ['was rebuilt without a signature', () => ({ unconfirmed: true })],
  ])('not if it %s', async (_what, change) => {
    const first = await backUp();
    await tamper(first.id, change);
    expect((await backUp()).kv?.reason).toBe('no earlier good backup of it has the same settings');
  });

  test.each<[string, (record: CatalogRecord) => object]>([
    ['checksum', ({ archive }) => ({ archive: { ...archive, checksum: '0'.repeat(64) } })],
    ['size', ({ archive }) => ({ archive: { ...archive, bytes: archive.bytes - 1 } })],
    ['version', ({ archive }) => ({ archive: { ...archive, version_id: 'x'.repeat(32) } })],
    ['counts', ({ tallies: { kv } }) => ({ tallies: { kv: { files: { ...kv?.files, count: 2 } } } })],
  ])('not if its record states another %s', async (_what, change) => {
    const first = await backUp();
    await tamper(first.id, change);
    const second = await backUp();
    expect(second.reads).toBe(3);
    expect(second.kv?.reason).toContain('an earlier backup cannot be used');
  });

  test('from exactly the version that was verified, although another object has its key now', async () => {
    const first = await backUp();
    const { bucket } = environment;
    await bucket.s3.send(
      new PutObjectCommand({ Bucket: bucket.name, Key: first.record.archive.key, Body: 'something else' }),
    );
    const second = await backUp();
    expect(second.kv?.from).toBe(first.id);
    expect((await verifyArchive(second.source, { cursor: null, ...LEG })).problems).toEqual([]);
  });

  test('with keys, only if its signature is valid', async () => {
    const { key: signer } = signingPair();
    const signed = { signer, keys: { own: signer, trusted: [] } };
    const unsigned = await backUp();
    const first = await backUp({}, signed);
    expect(first.kv?.reason).toContain(`${unsigned.id}.ngbak has no valid signature (unsigned)`);
    const second = await backUp({}, signed);
    expect(second.kv?.from).toBe(first.id);
    const { bucket } = environment;
    const { Body } = await bucket.s3.send(
      new GetObjectCommand({ Bucket: bucket.name, Key: signatureKey(second.record.archive.key) }),
    );
    expect((await Body?.transformToByteArray())?.length).toBeGreaterThan(0);
    const other = signingPair().key;
    const third = await backUp({}, { signer: other, keys: { own: other, trusted: [] } });
    expect(third.kv?.reason).toContain('has no valid signature');
  });
});

test('a backup of an unmoved target needs as few requests as docs/frequent-backups.md states', async () => {
  await backUp();
  const counted = { put: 0, get: 0 };
  environment.bucket.s3.middlewareStack.add(
    (next, { commandName = '' }) =>
      async (args) => {
        // S3's prices: GET and HEAD are of the cheaper class, deletions and aborts are free.
        if (/^(Get|Head)/.test(commandName)) counted.get++;
        else if (!/^(Delete|Abort)/.test(commandName)) counted.put++;
        return next(args);
      },
    { step: 'initialize', name: 'counting' },
  );
  expect((await backUp()).kv?.carried).toBe(1);
  expect(counted.put).toBeLessThanOrEqual(PUTS_MAX);
  expect(counted.get).toBeLessThanOrEqual(GETS_MAX);
});

test('an archive that is deleted between plan and seal fails the backup, with a reason', async () => {
  const first = await backUp();
  const deleted = backUp(
    {},
    { during: async () => void (await environment.bucket.removeAll(`backups/${first.id}`)) },
  );
  await expect(deleted).rejects.toThrow(/backups\/.*ngbak/);
});

test('a repeated leg puts the same segments in place', async () => {
  await backUp();
  const twice = await backUp(
    {},
    {
      during: async () => {
        for await (const key of environment.bucket.folders('staging/')) {
          await stageCarried(environment, await readBackupPlan(environment, key), LEG);
        }
      },
    },
  );
  expect(twice.kv?.carried).toBe(1);
});
