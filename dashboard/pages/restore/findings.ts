import { ago, count } from '../../../cli/format.ts';
import type { Inspection } from '../../../shared/restore/inspection.ts';
import type { RestoreOptions } from '../../../shared/restore/request.ts';

/** Something that an operator should know before they confirm. */
export interface Finding {
  readonly severity: 'error' | 'warning' | 'info';
  readonly text: string;
}

/** One count of the archive beside the same count of the target as it is now. */
export interface Difference {
  readonly store: string;
  readonly name: string;
  readonly archive: number;
  readonly target: number;
}

/** What archive and target hold, side by side. */
export function differences({ stores }: Pick<Inspection, 'stores'>): Difference[] {
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
 * All that speaks against a restore or should be known before it, the worst first: what makes it impossible, what can't
 * be undone, what is lost (the largest loss first), what the stores warn of, and what is only good to know.
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
        .filter((text) => !inspection.problems.some((told) => told.includes(text)))
        .map((text) => `${store}: ${text}`),
    ),
  ]
    .map(error)
    .concat(
      options.safety_backup
        ? []
        : [warning(`${target} is not saved first: a restore that fails can’t be undone.`)],
      options.mode === 'replace' ? losses(inspection).map(warning) : [],
      options.mode === 'merge' && options.on_conflict === 'overwrite'
        ? [warning('Records that exist in both with other content are overwritten by those of the archive.')]
        : [],
      archive.origin !== undefined && archive.origin !== target
        ? [warning(`The archive was made of ${archive.origin}, not of ${target}.`)]
        : [],
      inspection.warnings.map(warning),
      stores.flatMap(({ store, warnings }) => warnings.map((text) => warning(`${store}: ${text}`))),
      stores.flatMap(({ store, changes = [] }) => changes.map((text) => info(`${store}: ${text}`))),
      options.mode === 'replace'
        ? [
            info(
              `What ${target} holds now is replaced by its state of ${ago(archive.created_at, now)}: what was written since then is not in it.`,
            ),
          ]
        : [],
      archive.normalized
        ? [info('The archive was packed by another tool; it was rewritten first, which changed no content.')]
        : [],
      archive.lacks.map((text) => info(`The archive does not say: ${text}`)),
    );
}

/** What there is more of in the target now than in the archive, the largest share first. */
function losses(inspection: Inspection): string[] {
  return differences(inspection)
    .filter(({ archive, target }) => target > archive)
    .sort((a, b) => (b.target - b.archive) / b.target - (a.target - a.archive) / a.target)
    .map(({ store, name, archive, target }) =>
      archive === 0
        ? `${store} ${name}: all ${count(target)} that are there now go; the archive has none.`
        : `${store} ${name}: ${count(target)} now, ${count(archive)} afterwards: ${count(target - archive)} fewer.`,
    );
}
