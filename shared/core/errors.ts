import { HELP, seeAlso } from './help.ts';

/** The remedy for an error, and its documentation. */
export interface Advice {
  /** What the operator should do next, as one sentence in the imperative. */
  readonly remedy: string;
  /** Documentation entry: one of `HELP`. Only errors reported by another deployment may have other values. */
  readonly help?: string | undefined;
}

/**
 * The base class of every error that ngbak throws on purpose.
 *
 * An operator reads `message` and `remedy` in the Step Functions console, in the job record and in the terminal, so
 * the message states what failed and where (store, thing, value received, value allowed), and the remedy states what
 * to do next. Neither may contain a secret. Subclasses are defined next to the code that throws them, are named after
 * what happened, and end in `Error`; `Retry` and `Catch` of Step Functions match on that name.
 */
export class NgbakError extends Error {
  /** What the operator should do next, as one sentence in the imperative. */
  readonly remedy: string;
  /** Documentation entry about this error: page and anchor. */
  readonly help: string | undefined;
  /** True if the same call may succeed later without any change. */
  readonly retryable: boolean;

  constructor(message: string, options: Advice & { retryable?: boolean; cause?: unknown }) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.remedy = options.remedy;
    this.help = options.help;
    this.retryable = options.retryable ?? false;
  }
}

/** A value from outside (input, configuration, file) does not have the required shape. */
export class InvalidInputError extends NgbakError {}

/** A backend or an AWS service did not answer, or reported that it is overloaded. The call can be retried. */
export class UnavailableError extends NgbakError {
  constructor(message: string, options: Advice & { cause?: unknown }) {
    super(message, { ...options, retryable: true });
  }
}

/** A backend rejected the credentials, or they lack a permission. Retrying does not help. */
export class AccessDeniedError extends NgbakError {
  /** True if the login itself was rejected, which is temporary while a password is being rotated. */
  readonly isLogin: boolean;

  constructor(message: string, { isLogin, ...options }: Advice & { cause?: unknown; isLogin?: boolean }) {
    super(message, options);
    this.isLogin = isLogin ?? false;
  }
}

/** Data that was read back fails its integrity check. The most serious error, so it is never retried silently. */
export class IntegrityError extends NgbakError {}

/** Remedy for archives that fail a check. */
export const ANOTHER_ARCHIVE = 'Use another copy of the archive, or restore a different backup.';

/** The archive is damaged or was not written by ngbak: `message` names the entry and the fault. */
export function damagedArchive(message: string, cause?: unknown): IntegrityError {
  return new IntegrityError(message, {
    remedy: ANOTHER_ARCHIVE,
    help: HELP.damagedArchive,
    ...(cause === undefined ? {} : { cause }),
  });
}

/** One line for logs and records: the message, the chain of causes, the remedy and the documentation. */
export function describeError(error: unknown): string {
  const parts: string[] = [];
  for (let current: unknown = error, depth = 0; current !== undefined && depth < 4; depth++) {
    const message = current instanceof Error ? current.message : String(current);
    if (!parts.some((part) => part.includes(message))) parts.push(message);
    current = current instanceof Error ? current.cause : undefined;
  }
  const remedy = error instanceof NgbakError ? ` ${error.remedy}` : '';
  const help = helpOf(error);
  return `${parts.join(': ')}${remedy}${help === undefined ? '' : ` ${seeAlso(help)}`}`;
}

/** The documentation entry of an error, or of its cause. */
export function helpOf(error: unknown): string | undefined {
  for (let current = error, depth = 0; current instanceof Error && depth < 4; depth++) {
    if (current instanceof NgbakError && current.help !== undefined) return current.help;
    current = current.cause;
  }
  return undefined;
}
