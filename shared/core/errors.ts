import { HELP, seeAlso } from './help.ts';

/** What to do about an error, and where more about it is written. */
export interface Advice {
  /** What the operator should do next, as one sentence in the imperative. */
  readonly remedy: string;
  /** Entry of the documentation: one of `HELP`. Only what another deployment reports may be something else. */
  readonly help?: string | undefined;
}

/**
 * The base of every error that ngbak throws on purpose.
 *
 * An operator reads `message` and `remedy` in the Step Functions console, in the job record and in the terminal,
 * so the message says what went wrong and where (store, thing, value received, value allowed), and the remedy
 * says what to do next. Neither may carry a secret. Subclasses live beside the code that throws them, are named
 * after what happened, and end in `Error`; Step Functions `Retry` and `Catch` match on that name.
 */
export class NgbakError extends Error {
  /** What the operator should do next, as one sentence in the imperative. */
  readonly remedy: string;
  /** Entry of the documentation about this error: page and anchor. */
  readonly help: string | undefined;
  /** True where the same call may succeed later without anybody changing anything. */
  readonly retryable: boolean;

  constructor(message: string, options: Advice & { retryable?: boolean; cause?: unknown }) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.remedy = options.remedy;
    this.help = options.help;
    this.retryable = options.retryable ?? false;
  }
}

/** A value that came from outside (input, configuration, file) has not the shape it must have. */
export class InvalidInputError extends NgbakError {}

/** A backend or an AWS service did not answer, or answered that it is overloaded: worth another try. */
export class UnavailableError extends NgbakError {
  constructor(message: string, options: Advice & { cause?: unknown }) {
    super(message, { ...options, retryable: true });
  }
}

/** A backend refused our credentials, or lacks a permission. Trying again does not help. */
export class AccessDeniedError extends NgbakError {
  /** True where the login itself was refused: with a password in rotation, that passes. */
  readonly isLogin: boolean;

  constructor(message: string, { isLogin, ...options }: Advice & { cause?: unknown; isLogin?: boolean }) {
    super(message, options);
    this.isLogin = isLogin ?? false;
  }
}

/** What was read back fails its integrity check. The worst thing that can happen, so it is never retried silently. */
export class IntegrityError extends NgbakError {}

/** What to do where an archive is not what it should be. */
export const ANOTHER_ARCHIVE = 'Use another copy of the archive, or restore a different backup.';

/** The archive is damaged or was not made by ngbak: `message` names the entry and what is wrong with it. */
export function damagedArchive(message: string, cause?: unknown): IntegrityError {
  return new IntegrityError(message, {
    remedy: ANOTHER_ARCHIVE,
    help: HELP.damagedArchive,
    ...(cause === undefined ? {} : { cause }),
  });
}

/** One line for logs and records: the message, the chain of causes, then the remedy and where more is written. */
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

/** The entry of the documentation about an error, or about what caused it. */
export function helpOf(error: unknown): string | undefined {
  for (let current = error, depth = 0; current instanceof Error && depth < 4; depth++) {
    if (current instanceof NgbakError && current.help !== undefined) return current.help;
    current = current.cause;
  }
  return undefined;
}
