import { randomBytes } from 'node:crypto';
import { openArchive } from '../../../shared/archive/read/open.ts';
import { s3Source } from '../../../shared/archive/read/sources.ts';
import { archiveKey, catalogKey, lockKey, stagingPrefix } from '../../../shared/aws/keys.ts';
import type { SigningKey } from '../../../shared/aws/signing-key.ts';
import { CatalogRecord } from '../../../shared/catalog/record.ts';
import type { SignatureKeys } from '../../../shared/catalog/signature.ts';
import { STORE_ROLES } from '../../../shared/core/store-names.ts';
import { checkConsistency } from '../../../shared/workflows/backup/consistency.ts';
import { exportLeg } from '../../../shared/workflows/backup/export.ts';
import { planBackup } from '../../../shared/workflows/backup/plan.ts';
import { recordBackup } from '../../../shared/workflows/backup/record.ts';
import { type SealState, sealBackup } from '../../../shared/workflows/backup/seal.ts';
import { readBack, type VerifyState } from '../../../shared/workflows/backup/verify.ts';
import type { Environment } from '../../../shared/workflows/environment.ts';

export const LEG = { timeLeft: () => 60_000, signal: new AbortController().signal };

export interface RunOptions {
  /** When it begins: its id contains the second. */
  readonly start: Date;
  readonly keys?: SignatureKeys;
  readonly signer?: SigningKey;
  /** Runs between the exports and the second measurement. */
  readonly during?: () => Promise<void>;
  /** Runs each step: `plan`, `export-graph`, …, `verify`. */
  readonly run?: <T>(step: string, work: () => Promise<T>) => Promise<T>;
}

/** Runs all steps of a backup in this process, without a workflow. Returns its catalog record and its archive. */
export async function runBackup(environment: Environment, request: object, options: RunOptions) {
  const { bucket } = environment;
  const { start, keys = { trusted: [] }, signer, during, run = (_step, work) => work() } = options;
  const name = `backup_${randomBytes(6).toString('hex')}`;
  const execution = { name, arn: `arn:aws:states:::execution:Backup:${name}`, start: start.toISOString() };
  const planned = await run('plan', () => planBackup(environment, request, execution, LEG, keys));
  if ('skipped' in planned) throw new Error(planned.skipped);
  for (const role of STORE_ROLES) {
    for (let state of planned[role]) {
      while (!state.done) {
        const leg = state;
        state = await run(`export-${role}`, () => exportLeg(environment, leg, LEG));
      }
    }
  }
  await during?.();
  await run('consistency', () => checkConsistency(environment, name, LEG));
  await run('seal', async () => {
    let state: SealState = { job_id: name, cursor: null, done: false };
    while (!state.done) state = await sealBackup(environment, state, LEG);
  });
  await run('verify', async () => {
    let state: VerifyState = { job_id: name, cursor: null, done: false };
    while (!state.done) state = await readBack(environment, state, LEG);
  });
  const { backup_id } = await recordBackup(environment, name, signer);
  await bucket.removeAll(lockKey(planned.target));
  await bucket.removeAll(stagingPrefix(name));
  const record = await bucket.requireRecord(catalogKey(backup_id), CatalogRecord, 'Look for it.');
  const source = await s3Source(bucket.s3, bucket.name, archiveKey(backup_id));
  return { record, source, archive: await openArchive(source) };
}
