import { escape as escapePattern } from 'minimatch';
import type { EntryReader } from '../../archive/format/types.ts';
import { ArchiveView } from '../../archive/read/view.ts';
import { InvalidInputError } from '../../core/errors.ts';
import type { Subset } from '../../core/subset.ts';
import type { Route, RouteRequest } from '../route.ts';
import { FOLDER, fileNameOf } from './names.ts';
import type { FilesScope } from './scope.ts';
import { selectionOf } from './selection.ts';

/** Selects the files of some namespaces: see `StoreAdapter.narrow`. */
export function narrowFiles(scope: FilesScope, { namespaces, key_prefixes: prefixes }: Subset): FilesScope {
  if (prefixes !== undefined) {
    throw new InvalidInputError('Files have no key prefixes.', {
      remedy: 'Leave key prefixes out; choose namespaces instead.',
    });
  }
  if (namespaces === undefined) return scope;
  const selection = selectionOf(scope);
  const files = namespaces.map(fileOf);
  const unknown = files.find((file) => file.includes('*') || !selection.includes(file));
  if (unknown === undefined) return { ...scope, include: files.map((file) => escapePattern(file)) };
  throw new InvalidInputError(`The target's scope has no file "${unknown}".`, {
    remedy: `Choose namespaces whose files "include" names: ${scope.include.join(', ')}.`,
  });
}

/** The file in which nano-graphrag and LightRAG keep a namespace. */
function fileOf(namespace: string): string {
  return `kv_store_${namespace}.json`;
}

/**
 * Determines which files are restored: see `StoreAdapter.route`. A namespace is the file `kv_store_<namespace>.json`.
 */
export async function routeFiles(
  archive: EntryReader,
  saved: FilesScope | undefined,
  target: FilesScope,
  { only, rename, origin }: RouteRequest,
): Promise<Route<FilesScope>> {
  if (only.key_prefixes !== undefined || rename.key_prefix !== undefined) {
    throw refused('files have no key prefixes', 'Leave key prefixes out; choose namespaces instead.');
  }
  const labels = origin === undefined ? {} : { origin };
  if (only.namespaces === undefined) return { saved, scope: target, names: {}, ...labels, changes: [] };
  const files = only.namespaces.map(fileOf);
  const selection = selectionOf(target);
  const held = new Set<string>();
  for await (const { name } of archive.entries(FOLDER)) held.add(fileNameOf(name) ?? '');
  const missing = files.find((file) => !held.has(file) || !selection.includes(file) || file.includes('*'));
  if (missing !== undefined) {
    throw refused(
      `the archive, or the target's scope, has no file "${missing}"`,
      'Choose from the namespaces in the archive: `ngbak archive list` shows them.',
    );
  }
  return {
    saved,
    scope: { ...target, include: files.map((file) => escapePattern(file)) },
    names: {},
    ...labels,
    changes: [`only the files ${files.join(', ')}`],
  };
}

/** The files in the scope. If only some were selected, the view leaves out the archive's other files. */
export function viewFiles(archive: EntryReader, { scope, changes }: Route<FilesScope>): EntryReader {
  if (changes.length === 0) return archive;
  const selection = selectionOf(scope);
  return new ArchiveView(archive, 'kv/', async ({ name }) => {
    const file = fileNameOf(name);
    return file === undefined || selection.includes(file) ? [{ name }] : [];
  });
}

function refused(problem: string, remedy: string): InvalidInputError {
  return new InvalidInputError(`The files cannot be restored with these options: ${problem}.`, { remedy });
}
