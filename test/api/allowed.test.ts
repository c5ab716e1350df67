/** Reasons of refusals: the same message and remedy in the API, both clients of the CLI and the dashboard. */
import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { apiClient } from '../../cli/api-client.ts';
import { directClient } from '../../cli/direct-client.ts';
import { refusalText } from '../../dashboard/parts/refusal.ts';
import { AccessList, Authenticator, newApiKey } from '../../shared/api/access.ts';
import { makeApi } from '../../shared/api/app.ts';
import { refusalOf } from '../../shared/core/allowed.ts';
import { CALLS, type CallName, type CallShape } from '../../shared/core/calls.ts';
import { ROLES, type Role } from '../../shared/core/roles.ts';
import { createJob, type JobRecord } from '../../shared/workflows/job/record.ts';
import { RestoreOptions } from '../../shared/workflows/restore/request.ts';
import { freshContext } from '../operations/context.ts';
import { catalogue } from '../support/catalog.ts';
import { admit } from '../support/restore-records.ts';

const NAMES: Record<Role, string> = { viewer: 'vera', operator: 'otto', admin: 'ada' };
const keys = new Map(ROLES.map((role) => [role, newApiKey(NAMES[role], role)]));
const me = (role: Role) => ({ name: NAMES[role], role });
let context: Awaited<ReturnType<typeof freshContext>>;

beforeEach(async () => {
  context = await freshContext({ config: true });
  const access = AccessList.parse({ keys: [...keys.values()].map(({ entry }) => entry) });
  const api = makeApi({
    context,
    authenticator: new Authenticator(async () => access),
    allowedOrigins: [],
    audit: () => undefined,
    log: () => undefined,
    origin: () => ({ from: '192.0.2.1', requestId: 'request' }),
    timeLeft: () => 30_000,
  });
  // The API without a network: requests and responses are as over HTTP.
  jest
    .spyOn(globalThis, 'fetch')
    .mockImplementation((...request) => Promise.resolve(api.request(...request)));
});
afterEach(() => {
  jest.restoreAllMocks();
});

const client = (role: Role) => apiClient('https://api.example.org', keys.get(role)?.key);

/** Calls that viewers or operators may not make, with valid arguments. */
const BY_ROLE: { readonly [Name in CallName]?: readonly unknown[] } = {
  startBackup: [{}],
  downloadBackup: ['b1', {}],
  updateBackup: ['b1', { note: 'x' }],
  acknowledgeWarnings: ['b1', {}],
  deleteBackup: ['b1'],
  verifyBackup: ['b1', {}],
  diffBackups: ['b1', { to: 'b2' }],
  restore: [{ backup_id: 'b1' }],
  completeUpload: ['job'],
  confirmRestore: ['job', { phrase: 'default' }],
  changeRestoreOptions: ['job', {}],
  attachDeferred: ['job', {}],
  rejectRestore: ['job', {}],
  cancelJob: ['job'],
  removeSchedule: ['nightly'],
  runSchedule: ['nightly'],
  keys: [],
};

async function refusedBy(work: () => unknown): Promise<{ message: string; remedy: string }> {
  try {
    await work();
  } catch (error) {
    const { message, remedy } = error as { message: string; remedy: string };
    return { message, remedy };
  }
  throw new Error('It was not refused.');
}

test.each(Object.entries(BY_ROLE) as [CallName, unknown[]][])(
  '%s: the CLI reports an insufficient role as the dashboard does',
  async (name, args) => {
    const { role: needed }: CallShape = CALLS[name];
    const tooLow = ROLES.slice(0, ROLES.indexOf(needed ?? 'viewer'));
    expect(tooLow.length).toBeGreaterThan(0);
    for (const role of tooLow) {
      const call = (client(role) as unknown as Record<string, (...args: unknown[]) => unknown>)[name];
      const { message, remedy } = await refusedBy(() => call?.(...args));
      expect(refusalText(me(role), name)).toBe(`${message} ${remedy}`);
      expect(message).toBe(`This requires the role ${needed}; ${NAMES[role]} has the role ${role}.`);
    }
    expect(refusalText(me(needed ?? 'viewer'), name)).toBeUndefined();
  },
);

const job = (job_id: string, changes: Partial<JobRecord>): JobRecord => ({
  ...{ job_id, kind: 'restore', target: 'default', state: 'processing' },
  ...{ created_at: '2026-01-01T00:00:00.000Z', updated_at: '2026-01-01T00:00:00.000Z' },
  ...changes,
});

test.each(['completed', 'failed', 'rolled_back', 'cancelled'] as const)(
  'a job that is %s can be neither cancelled nor confirmed, with the same message everywhere',
  async (state) => {
    const ended = job('ended', { state });
    await createJob(context.bucket, ended);
    const direct = directClient(context);
    const over = client('admin');
    const options = RestoreOptions.omit({ dry_run: true }).parse({});
    const faces = [
      ['cancelJob', refusalOf('cancelJob', me('admin'), { ...ended, isRollback: false })],
      ['confirmRestore', refusalOf('confirmRestore', me('admin'), ended), { phrase: 'default' }],
      ['rejectRestore', refusalOf('rejectRestore', me('admin'), ended), {}],
      ['changeRestoreOptions', refusalOf('changeRestoreOptions', me('admin'), ended), options],
    ] as const;
    for (const [name, refusal, ...input] of faces) {
      expect(refusal?.message).toContain(`Job ended is ${state}: `);
      for (const one of [direct, over]) {
        const call = (one as unknown as Record<string, (...args: unknown[]) => unknown>)[name];
        expect(await refusedBy(() => call?.('ended', ...input))).toEqual(refusal);
      }
    }
  },
);

test('a rollback cannot be cancelled, and a permanent backup cannot be deleted', async () => {
  const rollback = job('rollback_x', {
    execution_arn: 'arn:aws:states:us-east-1:000000000000:execution:x:y',
  });
  await createJob(context.bucket, rollback);
  await admit(context.environment, { job_id: 'rollback_x', rollback_of: 'x' });
  await catalogue(context.bucket, { backup_id: 'b1', retention: 'permanent' });
  for (const one of [directClient(context), client('admin')]) {
    expect(await refusedBy(() => one.cancelJob('rollback_x'))).toEqual(
      refusalOf('cancelJob', me('admin'), { ...rollback, isRollback: true }),
    );
    expect(await refusedBy(() => one.deleteBackup('b1'))).toEqual(
      refusalOf('deleteBackup', me('admin'), { backup_id: 'b1', retention: 'permanent' }),
    );
  }
});
