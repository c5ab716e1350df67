import { ago, count } from '../../../cli/format.ts';
import { roomText } from '../../../cli/room-text.ts';
import type { Inspection } from '../../../shared/workflows/restore/inspection.ts';
import type { RestoreOptions } from '../../../shared/workflows/restore/request.ts';

/** A finding that an operator should know before they confirm. */
export interface Finding {
  readonly severity: 'error' | 'warning' | 'info';
  readonly text: string;
}

/** One count of the archive with the corresponding count of the target. */
export interface CountDifference {
  readonly store: string;
  readonly name: string;
  readonly archive: number;
  readonly target: number;
}

/** A comparison of the contents of archive and target. */
export function differences({ stores }: Pick<Inspection, 'stores'>): CountDifference[] {
  return stores.flatMap(({ store, archive, target }) =>
    [...new Set([...Object.keys(archive), ...Object.keys(target)])].map((name) => ({
      store,
      name,
      archive: archive[name] ?? 0,
      target: target[name] ?? 0,
    })),
  );
}

type Chosen = Pick<RestoreOptions, 'mode' | 'on_conflict' | 'safety_backup'>;

/**
 * All findings for the confirmation, most severe first: what makes the restore impossible, what cannot be undone, what
 * is lost (the largest loss first), warnings of the stores, and information.
 */
export function findings(inspection: Inspection, options: Chosen, now: number = Date.now()): Finding[] {
  const { archive, stores, target } = inspection;
  const error = (text: string): Finding => ({ severity: 'error', text });
  const warning = (text: string): Finding => ({ severity: 'warning', text });
  const info = (text: string): Finding => ({ severity: 'info', text });
  return [
    ...new Set(inspection.problems),
    ...stores.flatMap(({ store, problems }) =>
      problems
        .filter((text) => !inspection.problems.some((problem) => problem.includes(text)))
        .map((text) => `${store}: ${text}`),
    ),
  ]
    .map(error)
    .concat(
      options.safety_backup
        ? []
        : [warning(`${target} is not backed up first: a failed restore can’t be rolled back.`)],
      options.mode === 'replace' ? losses(inspection).map(warning) : [],
      options.mode === 'merge' && options.on_conflict === 'overwrite'
        ? [warning('Records that exist in both with different content are overwritten from the archive.')]
        : [],
      archive.origin !== undefined && archive.origin !== target
        ? [warning(`The archive was created from ${archive.origin}, not from ${target}.`)]
        : [],
      inspection.warnings.map(warning),
      stores.flatMap(({ store, warnings }) => warnings.map((text) => warning(`${store}: ${text}`))),
      stores.flatMap(({ store, changes = [] }) => changes.map((text) => info(`${store}: ${text}`))),
      options.mode === 'replace'
        ? [
            info(
              `${target} is replaced by the state of ${ago(archive.created_at, now)}. Data written since then is lost.`,
            ),
          ]
        : [],
      stores.flatMap(({ store, room }) => (room ? [info(`${store} ${roomText(room)}.`)] : [])),
      (inspection.configuration?.differences ?? []).map(
        ({ setting, archive: saved = 'not set', target: now = 'not set' }) =>
          info(`Configuration ${setting}: ${saved} in the archive, ${now} now.`),
      ),
      archive.normalized
        ? [info('The archive was packed by another tool. It was repacked first; the content is unchanged.')]
        : [],
      archive.lacks.map((text) => info(`The archive does not record: ${text}`)),
    );
}

/** Counts that are higher in the target than in the archive, the largest share first. */
function losses(inspection: Inspection): string[] {
  return differences(inspection)
    .filter(({ archive, target }) => target > archive)
    .sort((a, b) => (b.target - b.archive) / b.target - (a.target - a.archive) / a.target)
    .map(({ store, name, archive, target }) =>
      archive === 0
        ? `${store} ${name}: all ${count(target)} are deleted; the archive has none.`
        : `${store} ${name}: ${count(target)} now, ${count(archive)} afterwards: ${count(target - archive)} fewer.`,
    );
}
