import { z } from '@hono/zod-openapi';
import { Id } from '../../core/ids.ts';
import { IdempotencyKey } from '../../operations/start.ts';
import { PROBLEM_TYPE, Problem } from '../problem.ts';

/** What failed calls answer with; every route has these. */
const problem = (description: string) => ({
  description,
  content: { [PROBLEM_TYPE]: { schema: Problem } },
});
export const PROBLEMS = {
  400: problem('The request is not valid.'),
  401: problem('Missing or invalid API key.'),
  403: problem('The role of the key does not permit this.'),
  404: problem('Not found.'),
  409: problem('The current state does not allow it.'),
  422: problem('Integrity check failed.'),
  429: problem('Too many requests of this kind.'),
  500: problem('Internal error.'),
  503: problem('AWS did not respond.'),
} as const;

/** A JSON answer. */
export const answer = <Schema extends z.ZodType>(description: string, schema: Schema) => ({
  description,
  content: { 'application/json': { schema } },
});

/** A JSON body; `required` unless the call has sensible defaults for everything. */
export const body = <Schema extends z.ZodType>(schema: Schema, required = true) => ({
  required,
  content: { 'application/json': { schema } },
});

export const BackupPath = z.object({ id: Id });
export const JobPath = z.object({ job: Id });
export const IdempotencyHeader = z.object({ 'idempotency-key': IdempotencyKey.optional() });

/** What routes say that start jobs and take the header. */
export const ONCE =
  'With an `Idempotency-Key` header, repeating the call returns the job that it started; with a different body it is refused (409).';

/** `true` and `false`, as a query says them. */
export const Flag = z.enum(['true', 'false']);
