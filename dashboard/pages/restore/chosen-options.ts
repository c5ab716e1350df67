import { isServed, roleOf, type ServedRole, type ServedStore } from '../../../shared/core/store-names.ts';
import { thingsAmong } from '../../../shared/stores/known-facts.ts';
import type { Inspection } from '../../../shared/workflows/restore/inspection.ts';
import type { RestoreOptions } from '../../../shared/workflows/restore/request.ts';

/** Options as typed and selected by the user. */
export interface OptionsDraft {
  readonly mode: RestoreOptions['mode'];
  readonly onConflict: RestoreOptions['on_conflict'];
  /** Empty: all. */
  readonly stores: readonly ServedStore[];
  readonly safety: boolean;
  readonly allowEmpty: boolean;
  readonly label: string;
  readonly collections: readonly string[];
  readonly namespaces: readonly string[];
  /** Separated by commas. */
  readonly prefixes: string;
  readonly toLabel: string;
  readonly toPrefix: string;
  /** Lines such as `old = new`. */
  readonly toCollections: string;
  readonly toParameters: string;
  readonly dangling: RestoreOptions['dangling'];
  readonly labelOrigin: boolean;
  readonly compare: boolean;
}

/** The draft for the current options of a restore. */
export function draftOf({ only, rename, ...options }: RestoreOptions): OptionsDraft {
  return {
    mode: options.mode,
    onConflict: options.on_conflict,
    stores: (options.stores ?? []).filter(isServed),
    safety: options.safety_backup,
    allowEmpty: options.allow_empty ?? false,
    label: only?.label ?? '',
    collections: only?.collections ?? [],
    namespaces: only?.namespaces ?? [],
    prefixes: (only?.key_prefixes ?? []).join(', '),
    toLabel: rename?.label ?? '',
    toPrefix: rename?.key_prefix ?? '',
    toCollections: linesOf(rename?.collections),
    toParameters: linesOf(rename?.parameters),
    dangling: options.dangling,
    labelOrigin: options.label_origin ?? false,
    compare: options.compare ?? false,
  };
}

/** The subset that a draft is limited to; undefined for everything. */
export function onlyOf({ label, collections, namespaces, prefixes }: OptionsDraft) {
  return withoutEmpty({
    label,
    collections: [...collections],
    namespaces: [...namespaces],
    key_prefixes: words(prefixes),
  });
}

/** The new names of a draft; undefined if nothing is renamed. */
export function renameOf({ toLabel, toPrefix, toCollections, toParameters }: OptionsDraft) {
  return withoutEmpty({
    label: toLabel,
    key_prefix: toPrefix,
    collections: pairs(toCollections),
    parameters: pairs(toParameters),
  });
}

/** The options for a draft, to replace the current ones of the restore. */
export function chosenOptions(draft: OptionsDraft, options: RestoreOptions) {
  const only = onlyOf(draft);
  const rename = renameOf(draft);
  const { stores, dangling, allowEmpty, labelOrigin, compare } = draft;
  return {
    mode: draft.mode,
    on_conflict: draft.onConflict,
    safety_backup: draft.safety,
    ...(allowEmpty || options.allow_empty !== undefined ? { allow_empty: allowEmpty } : {}),
    ...(stores.length === 0 ? {} : { stores: [...stores] }),
    ...(only ? { only } : {}),
    ...(rename ? { rename } : {}),
    ...(dangling === undefined ? {} : { dangling }),
    // Options for reading the archive cannot be changed.
    ...(options.cypher_script === undefined ? {} : { cypher_script: options.cypher_script }),
    ...(options.default_expiries === undefined ? {} : { default_expiries: options.default_expiries }),
    ...(compare || options.compare !== undefined ? { compare } : {}),
    ...(options.compare_seconds === undefined ? {} : { compare_seconds: options.compare_seconds }),
    ...(labelOrigin || options.label_origin !== undefined ? { label_origin: labelOrigin } : {}),
  };
}

/** Whether a draft differs from the current options of the restore, regardless of order. */
export function isChanged(chosen: object, { dry_run: _, ...before }: RestoreOptions): boolean {
  return sorted(chosen) !== sorted(before);
}

/** Serializes objects with the same content to the same text, regardless of order. */
function sorted(value: object): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    inner !== null && typeof inner === 'object' && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}

/** The names in the archive that a subset can select from, of the stores of a role: `points:chunks` → `chunks`. */
export function namesIn(
  inspection: Inspection,
  role: ServedRole,
  field: 'collections' | 'namespaces',
): string[] {
  const found = inspection.stores.filter(({ store }) => roleOf(store) === role);
  return found.flatMap(({ archive }) => thingsAmong(Object.keys(archive), field));
}

/** The words of one text field: separated by commas or lines, trimmed. */
export function words(text: string): string[] {
  return text
    .split(/[,\n]/)
    .map((word) => word.trim())
    .filter((word) => word !== '');
}

/** Lines such as `old = new` as an object; undefined if a line has no `=`, or one side of it is empty. */
export function pairs(text: string): Record<string, string> | undefined {
  const found: [string, string][] = [];
  for (const line of text.split('\n').filter((one) => one.trim() !== '')) {
    const at = line.indexOf('=');
    const [before, after] = [line.slice(0, at).trim(), line.slice(at + 1).trim()];
    if (at < 0 || before === '' || after === '') return undefined;
    found.push([before, after]);
  }
  return Object.fromEntries(found);
}

/** The lines for {@link pairs}. Values that are not text are left to the API and the CLI. */
export function linesOf(values: Readonly<Record<string, unknown>> = {}): string {
  return Object.entries(values)
    .map(([before, after]) => `${before} = ${typeof after === 'string' ? after : JSON.stringify(after)}`)
    .join('\n');
}

/** Omits empty values, since the API refuses empty lists and objects. */
export function withoutEmpty<T extends Record<string, unknown>>(fields: T): Partial<T> | undefined {
  const changed = Object.entries(fields).filter(([, value]) =>
    typeof value === 'object' && value !== null
      ? Object.keys(value).length > 0
      : value !== undefined && value !== '',
  );
  return changed.length === 0 ? undefined : (Object.fromEntries(changed) as Partial<T>);
}
