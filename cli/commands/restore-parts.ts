import { type Command, InvalidArgumentError, Option } from 'commander';
import { list, whole } from './options.ts';

/** Flags that select a subset of a knowledge base, shared by `ngbak backup`, `schedule` and `restore`. */
export interface OnlyFlags {
  readonly label?: string;
  readonly collections?: string[];
  readonly namespaces?: string[];
  readonly keyPrefixes?: string[];
}

/** Adds the flags of {@link OnlyFlags}. */
export function onlyOptions(command: Command): Command {
  return command
    .option('--label <label>', 'only nodes with this label')
    .option('--collections <names>', 'only these vector collections', list)
    .option('--namespaces <names>', 'only these key-value namespaces, such as text_chunks', list)
    .option('--key-prefixes <prefixes>', 'only keys with these prefixes', list);
}

/** The subset selected by the flags; undefined if they select nothing. */
export function onlyOf({ label, collections, namespaces, keyPrefixes }: OnlyFlags): object | undefined {
  const only = { label, collections, namespaces, key_prefixes: keyPrefixes };
  return isEmpty(only) ? undefined : only;
}

/** Flags of `ngbak restore` that select what is restored from an archive, and under which names. */
interface PartFlags extends OnlyFlags {
  readonly parameter?: Record<string, string>;
  readonly renameLabel?: string;
  readonly renamePrefix?: string;
  readonly renameCollection?: Record<string, string>;
  readonly dangling?: string;
  readonly labelOrigin?: boolean;
}

/** Flags that define how a restore treats its target; they can be changed while a restore waits. */
export interface HowFlags extends PartFlags {
  readonly stores?: string[];
  readonly mode?: string;
  readonly ifEmpty?: boolean;
  readonly onConflict?: string;
  readonly safetyBackup: boolean;
  readonly allowEmpty?: boolean;
  readonly defaultExpiries?: string;
  readonly compare?: boolean;
  readonly compareSeconds?: number;
}

/** Adds the flags of {@link HowFlags}. */
export function howOptions(command: Command): Command {
  command
    .option('-s, --stores <names>', 'only these stores', list)
    .addOption(
      new Option(
        '--mode <mode>',
        'replace the contents of the target, merge into them, or refuse a target that is not empty',
      ).choices(['replace', 'merge', 'if_empty']),
    )
    .addOption(
      new Option(
        '--if-empty',
        'refuse a target whose scope holds records; the same as --mode if_empty',
      ).conflicts('mode'),
    )
    .addOption(
      new Option(
        '--on-conflict <what>',
        'with merge: what to do if a record exists with different content',
      ).choices(['keep', 'overwrite', 'fail']),
    )
    .option(
      '--no-safety-backup',
      'do not back up the target first; a failed restore cannot be rolled back then',
    );
  command.option(
    '--allow-empty',
    'with replace: clear stores that hold records, even if the archive has no records of them',
  );
  command.addOption(
    new Option(
      '--default-expiries <when>',
      'for keys of an NGRAF-023 archive, which has no expiries: set its defaults, counted from the backup or from the restore',
    ).choices(['from-backup', 'from-restore']),
  );
  command
    .option(
      '--compare',
      'compare archive and target record by record: what would be added, changed and removed; reads all of both',
    )
    .option(
      '--compare-seconds <seconds>',
      'time limit of that comparison (default: 1800); stores that are not compared by then are compared by their counts',
      whole,
    );
  return partOptions(command);
}

/** The options of a restore from these flags. */
export function howOf(flags: HowFlags): object {
  return {
    stores: flags.stores,
    mode: flags.ifEmpty ? 'if_empty' : flags.mode,
    on_conflict: flags.onConflict,
    safety_backup: flags.safetyBackup,
    allow_empty: flags.allowEmpty,
    default_expiries: flags.defaultExpiries,
    compare: flags.compare,
    compare_seconds: flags.compareSeconds,
    ...partsOf(flags),
  };
}

/** Adds the flags of {@link PartFlags}. */
function partOptions(command: Command): Command {
  return onlyOptions(command)
    .option(
      '--parameter <name=value>',
      "value of a parameter of the target's profile for this restore, such as namespace=copy; repeatable",
      pair,
    )
    .option('--rename-label <label>', 'new label of the nodes')
    .option('--rename-prefix <prefix>', 'new prefix of the keys')
    .option('--rename-collection <from=to>', 'new name of a collection; repeatable', pair)
    .addOption(
      new Option(
        '--dangling <what>',
        'dangling relationships: drop them, attach those whose other end exists in the target, or attach those and keep the others for `ngbak attach`',
      ).choices(['prune', 'stitch', 'defer']),
    )
    .option(
      '--label-origin',
      'record on nodes and points, and beside keys and files, which backup they come from',
    );
}

/** The options of a restore from these flags. */
function partsOf(flags: PartFlags): object {
  const { parameter: parameters, renameLabel, renamePrefix, renameCollection } = flags;
  const rename = {
    parameters,
    label: renameLabel,
    key_prefix: renamePrefix,
    collections: renameCollection,
  };
  return {
    only: onlyOf(flags),
    rename: isEmpty(rename) ? undefined : rename,
    dangling: flags.dangling,
    label_origin: flags.labelOrigin,
  };
}

function isEmpty(value: object): boolean {
  return Object.values(value).every((member) => member === undefined);
}

/** Adds `a=b` to the previous pairs. */
function pair(text: string, before: Record<string, string> = {}): Record<string, string> {
  const at = text.indexOf('=');
  if (at < 1 || at === text.length - 1) throw new InvalidArgumentError('It must have the form name=value.');
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}
