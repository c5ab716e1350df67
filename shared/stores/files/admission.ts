import type { StoreWarning } from '../warning.ts';
import type { FileInfo, Folder } from './folder.ts';
import { LeftOut } from './left-out.ts';
import { FILES_MAX } from './listing.ts';
import { foldersOf, foldName } from './names.ts';
import { datasetOf } from './order.ts';
import type { filesOf } from './restore.ts';

/** Maximum number of names in one reason. */
const NAMES_SHOWN = 3;

/**
 * Reasons why the files of an archive cannot be written into a folder, judged by their names.
 *
 * @param present the files of the scope
 * @param merges whether existing files are kept
 */
export async function nameProblems(
  folder: Folder,
  archived: ReturnType<typeof filesOf>,
  present: readonly FileInfo[],
  merges: boolean,
  warn: (warning: StoreWarning) => void,
): Promise<string[]> {
  const names = new Set<string>();
  const folders = new Set<string>();
  const folded = new Map<string, string>();
  const alike = new LeftOut();
  for await (const { file } of archived) {
    names.add(file);
    for (const path of foldersOf(file)) folders.add(path);
    const form = foldName(file);
    const other = folded.get(form);
    if (other !== undefined) alike.add(`${other} and ${file}`);
    folded.set(form, file);
  }
  const problems: string[] = [];
  if (names.size > FILES_MAX) {
    problems.push(`the archive contains ${names.size} files; at most ${FILES_MAX} are allowed`);
  }
  const changed = merges ? changedDatasets([...names], present) : [];
  if (changed.length > 0) {
    problems.push(
      `a merge cannot combine the versions of the Lance datasets ${listed(changed)}; replace them`,
    );
  }
  if (!folder.obstacle) return problems;
  const both = [...folders].filter((path) => names.has(path));
  if (both.length > 0) problems.push(`${listed(both)} are files and folders, which S3 allows, but no folder`);
  const blocked = new Set<string>();
  for (const path of folders) {
    const obstacle = await folder.obstacle(`${path}/`);
    if (obstacle !== undefined) blocked.add(obstacle);
  }
  if (blocked.size > 0) {
    problems.push(
      `${listed([...blocked])} in ${folder.name} are links or special files, which are not followed`,
    );
  }
  if (alike.count > 0) {
    warn({
      code: 'names-alike',
      text: 'Files of the archive have names that differ only in case or Unicode form. If the file system of the folder treats them as equal, the verification after the restore fails.',
      count: alike.count,
      samples: [...alike.samples],
    });
  }
  return problems;
}

/** Lance datasets that exist with other versions than those of the archive. */
function changedDatasets(archived: readonly string[], present: readonly FileInfo[]): string[] {
  const [ours, theirs] = [versionsOf(archived), versionsOf(present.map(({ name }) => name))];
  return [...ours].flatMap(([dataset, versions]) => {
    const others = theirs.get(dataset);
    return others === undefined || others.join() === versions.join() ? [] : [dataset];
  });
}

function versionsOf(files: readonly string[]): Map<string, string[]> {
  const manifests = files.filter((file) => datasetOf(file) !== undefined).sort();
  return Map.groupBy(manifests, (file) => datasetOf(file) ?? '');
}

function listed(names: readonly string[]): string {
  const more = names.length > NAMES_SHOWN ? ` and ${names.length - NAMES_SHOWN} more` : '';
  return `${names
    .slice(0, NAMES_SHOWN)
    .map((name) => `"${name}"`)
    .join(', ')}${more}`;
}
