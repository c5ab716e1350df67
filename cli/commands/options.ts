import { InvalidArgumentError } from 'commander';

/** Splits `graph,kv` into both. */
export function list(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

/** Collects the values of an option that may be given several times. */
export function repeated(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}

/** `--identity`, of commands that read archives. */
export const IDENTITY = [
  '-i, --identity <file>',
  'secret key of age for an encrypted archive: a file from age-keygen, or - for stdin; repeatable',
] as const;

/** `--encrypt-to`, of commands that download archives. */
export const ENCRYPT_TO = [
  '--encrypt-to <recipient>',
  'encrypt to this public key of age (age1…) while downloading; repeatable. Without the secret key of one of them, nobody can read the file',
] as const;

/** A whole number of at least 0. */
export function whole(text: string): number {
  if (!/^[0-9]{1,9}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.');
  return Number(text);
}

/** Converts a date or a time in the user's zone to ISO 8601 for the service. */
export function time(text: string): string {
  const parsed = /^\d{4}-\d{2}-\d{2}$/.test(text) ? new Date(`${text}T00:00:00`) : new Date(text);
  if (Number.isNaN(parsed.getTime())) {
    throw new InvalidArgumentError('It must be a date such as 2026-01-31, or a time in ISO 8601.');
  }
  return parsed.toISOString();
}
