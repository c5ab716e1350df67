import { Minimatch } from 'minimatch';
import { logOf } from './order.ts';
import type { FilesScope } from './scope.ts';

/** What of a folder is listed. Paths are relative to the folder. */
export interface Selection {
  /** Whether a file is part of the scope. */
  includes(file: string): boolean;
  /** Whether a file that is not included is left out on purpose, by "exclude". */
  excludes(file: string): boolean;
  /** Whether files below a subfolder may be part of the scope. */
  enters(folder: string): boolean;
  /** Whether everything below a subfolder is left out on purpose, by "exclude". */
  excludesFolder(folder: string): boolean;
}

/**
 * Names of files are literal except for `*` and `?` (within one part of the path), `**` (any number of parts) and
 * `[…]`; names with a leading dot are like all others.
 */
const SYNTAX = {
  dot: true,
  nobrace: true,
  nocomment: true,
  noext: true,
  nonegate: true,
  platform: 'linux',
} as const;

/** The selection of a scope, with its patterns compiled. */
export function selectionOf({ include, exclude }: Pick<FilesScope, 'include' | 'exclude'>): Selection {
  const included = include.map((pattern) => new Minimatch(pattern, SYNTAX));
  const excluded = exclude.map((pattern) => new Minimatch(pattern, SYNTAX));
  const whole = exclude
    .filter((pattern) => pattern.endsWith('/**'))
    .map((pattern) => new Minimatch(pattern.slice(0, -'/**'.length), SYNTAX));
  const matches = (patterns: readonly Minimatch[], path: string) =>
    patterns.some((pattern) => pattern.match(path));
  // A database without its log would lack its latest changes.
  const matchesFile = (patterns: readonly Minimatch[], file: string) =>
    matches(patterns, file) || matches(patterns, logOf(file)?.database ?? file);
  const excludes = (file: string) => matchesFile(excluded, file);
  const excludesFolder = (folder: string) => matches(whole, folder);
  return {
    excludes,
    excludesFolder,
    enters: (folder) =>
      included.some((pattern) => pattern.match(folder, true) && isDeeper(pattern, folder)) &&
      !excludesFolder(folder),
    includes: (file) => matchesFile(included, file) && !excludes(file),
  };
}

/** Only the files directly in the folder. */
export const DIRECT: Selection = {
  includes: () => true,
  excludes: () => false,
  enters: () => false,
  excludesFolder: () => false,
};

/** Whether a pattern can match anything below a folder: it has more parts, or `**`. */
function isDeeper({ pattern }: Minimatch, folder: string): boolean {
  return pattern.includes('**') || pattern.split('/').length > folder.split('/').length;
}
