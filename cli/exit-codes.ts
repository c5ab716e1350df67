import { ConflictError } from '../shared/aws/bucket.ts';
import {
  AccessDeniedError,
  IntegrityError,
  InvalidInputError,
  NgbakError,
  UnavailableError,
} from '../shared/core/errors.ts';
import { NotFoundError, RefusedError } from '../shared/core/refusals.ts';
import { TargetLockedError } from '../shared/workflows/job/lock.ts';

/** The exit codes of `ngbak`, with what each means: shown by `--help` and in docs/cli.md. */
export const EXIT_CODES = {
  ok: [0, 'done'],
  failed: [1, 'the job failed or was rolled back, or an unexpected error occurred'],
  usage: [2, 'wrong arguments or configuration'],
  notFound: [3, 'no such backup, job or entry'],
  refused: [4, 'refused: in use, locked, protected by retention, or not confirmed'],
  access: [5, 'missing credentials or permissions'],
  unavailable: [6, 'a service did not answer: try again'],
  damaged: [7, 'integrity check failed'],
  waiting: [8, 'the restore is waiting for confirmation: `ngbak confirm`'],
  cancelled: [9, 'the job was cancelled'],
  unrecoverable: [10, '`ngbak status`: a target cannot be recovered'],
  interrupted: [130, 'stopped by Ctrl-C; a started job keeps running unless it was cancelled'],
  unread: [141, 'output pipe closed; a started job keeps running'],
} as const satisfies Record<string, readonly [number, string]>;

/** Thrown to end with a certain exit code, after the reason was printed. */
export class ExitError extends Error {
  readonly code: number;
  constructor(outcome: keyof typeof EXIT_CODES) {
    super(EXIT_CODES[outcome][1]);
    this.code = EXIT_CODES[outcome][0];
  }
}

/** Ends a command with the exit code of a program that was run for it and has said why itself. */
export class PassedOnError extends Error {
  readonly code: number;
  constructor(code: number) {
    super(`a program ended with ${code}`);
    this.code = code;
  }
}

/** The exit code that an error ends the process with. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof ExitError || error instanceof PassedOnError) return error.code;
  if (!(error instanceof NgbakError)) return EXIT_CODES.failed[0];
  if (error instanceof InvalidInputError) return EXIT_CODES.usage[0];
  if (error instanceof NotFoundError) return EXIT_CODES.notFound[0];
  if (error instanceof AccessDeniedError) return EXIT_CODES.access[0];
  if (error instanceof IntegrityError) return EXIT_CODES.damaged[0];
  if (error instanceof RefusedError || error instanceof TargetLockedError || error instanceof ConflictError) {
    return EXIT_CODES.refused[0];
  }
  return error instanceof UnavailableError ? EXIT_CODES.unavailable[0] : EXIT_CODES.failed[0];
}
