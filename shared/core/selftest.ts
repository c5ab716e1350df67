import { InvalidInputError } from './errors.ts';

/** Name of the built-in target of `ngbak selftest`. Reserved: no configuration may have a target of this name. */
export const SELFTEST_TARGET = 'ngbak-selftest';
/** Where its files are, in the archive bucket. A lifecycle rule removes what an interrupted self-test leaves there. */
export const SELFTEST_PREFIX = 'selftest/';
/** Tag of its backups. */
export const SELFTEST_TAG = 'self-test';
/** How long its backups are kept if they are not deleted. The self-test itself deletes them when it ends. */
export const SELFTEST_RETENTION = '1d';

/**
 * The configuration of the built-in target: files in the archive bucket itself, so that it needs neither a server nor
 * a secret. It is not in the list of targets, so schedules, alarms, health and metrics ignore it.
 */
export const SELFTEST_SETTINGS = {
  stores: { kv: { kind: 'files', secret: 'none: the files are in the archive bucket' } },
};

/** The connection, which other targets keep in a secret. Throws InvalidInputError outside of a function. */
export function selftestConnection(environment: NodeJS.ProcessEnv = process.env): { location: string } {
  const { NGBAK_BUCKET: bucket } = environment;
  if (bucket) return { location: `s3://${bucket}/${SELFTEST_PREFIX}` };
  throw new InvalidInputError('NGBAK_BUCKET is not set.', {
    remedy: 'The stack sets it for its functions; elsewhere, set it to the name of the archive bucket.',
  });
}
