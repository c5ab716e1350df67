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

/** A problem document (RFC 9457), with a member of our own: what to do about it. */
export const Problem = z.object({
  /** `about:blank` where the status says it all; otherwise `urn:ngbak:problem:<name>`. */
  type: z.string(),
  title: z.string(),
  status: z.number().int(),
  detail: z.string(),
  remedy: z.string(),
  /** Entry of the documentation about this error, where there is one: page and anchor, such as `docs/runbook.md#…`. */
  help: z.string().optional(),
  /** The request's id, for the logs. */
  instance: z.string().optional(),
});
export type Problem = z.infer<typeof Problem>;

export const PROBLEM_TYPE = 'application/problem+json';

/** Statuses that errors are reported with. The statuses of these are all that the API answers besides 2xx and 307. */
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

/** The problem document for an error. Unexpected ones are reported without their message, which nobody has checked. */
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
