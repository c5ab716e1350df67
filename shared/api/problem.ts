import { z } from 'zod';
import { explainAwsError } from '../aws/aws-error.ts';
import { ConflictError } from '../aws/bucket.ts';
import { redact } from '../aws/secrets.ts';
import {
  AccessDeniedError,
  helpOf,
  IntegrityError,
  InvalidInputError,
  NgbakError,
  UnavailableError,
} from '../core/errors.ts';
import { NotFoundError, RefusedError } from '../core/refusals.ts';
import { TargetLockedError } from '../workflows/job/lock.ts';
import { ForbiddenError, MethodNotAllowedError, RateLimitedError, UnauthenticatedError } from './access.ts';

/** A problem document (RFC 9457), with an additional member: the remedy. */
export const Problem = z.object({
  /** `about:blank` if the status is sufficient, otherwise `urn:ngbak:problem:<name>`. */
  type: z.string(),
  title: z.string(),
  status: z.number().int(),
  detail: z.string(),
  remedy: z.string(),
  /** Documentation of this error, if any: page and anchor, such as `docs/runbook.md#…`. */
  help: z.string().optional(),
  /** The request's id, to find it in the logs. */
  instance: z.string().optional(),
});
export type Problem = z.infer<typeof Problem>;

export const PROBLEM_TYPE = 'application/problem+json';

/** Statuses of errors. Apart from 2xx and 307, the API responds with no others. */
const STATUSES = [
  [UnauthenticatedError, 401, 'Not authenticated'],
  [ForbiddenError, 403, 'Not allowed'],
  [MethodNotAllowedError, 405, 'Method not allowed'],
  [RateLimitedError, 429, 'Too many requests'],
  [NotFoundError, 404, 'Not found'],
  [RefusedError, 409, 'Refused'],
  [TargetLockedError, 409, 'In use'],
  [ConflictError, 409, 'Modified concurrently'],
  [InvalidInputError, 400, 'Invalid request'],
  [IntegrityError, 422, 'Damaged data'],
  [UnavailableError, 503, 'Not available'],
  [AccessDeniedError, 500, 'The deployment lacks a permission'],
] as const;

/** The problem document for an error. For unexpected errors, it omits the message, which may contain anything. */
export function problemOf(error: unknown, instance?: string): Problem {
  const explained = explainAwsError(error);
  const where = instance === undefined ? {} : { instance };
  if (!(explained instanceof NgbakError)) {
    return {
      type: 'about:blank',
      title: 'Internal error',
      status: 500,
      detail: 'Internal error.',
      remedy: 'Search the logs of the API function for the ID of this request.',
      ...where,
    };
  }
  const help = helpOf(explained);
  const [, status, title] = STATUSES.find(([kind]) => explained instanceof kind) ?? [
    undefined,
    500,
    'Internal error',
  ];
  return {
    type: `urn:ngbak:problem:${explained.name}`,
    title,
    status,
    detail: redact(explained.message),
    remedy: redact(explained.remedy),
    ...(help === undefined ? {} : { help }),
    ...where,
  };
}
