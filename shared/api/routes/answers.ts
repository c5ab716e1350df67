import { z } from '@hono/zod-openapi';
import { Id } from '../../ids.ts';
import { IdempotencyKey } from '../../operations/start.ts';
import { PROBLEM_TYPE, Problem } from '../problem.ts';

/** What failed calls answer with; every route has these. */
const problem = (description: string) => ({
  description,
  content: { [PROBLEM_TYPE]: { schema: Problem } },
});
export const PROBLEMS = {
  400: problem('The request is not valid.'),
  401: problem('No key, or one that does not count.'),
  403: problem('The key may not do this.'),
  404: problem('There is no such thing.'),
  409: problem('Its state does not allow it now.'),
  422: problem('Data is not what was written.'),
  429: problem('Too many of these calls.'),
  500: problem('Something went wrong that nobody expected.'),
  503: problem('AWS did not answer.'),
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
  'With an `Idempotency-Key` header, the same call again finds the job that it started; with another body it is refused (409).';

/** `true` and `false`, as a query says them. */
export const Flag = z.enum(['true', 'false']);
