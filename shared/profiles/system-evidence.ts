import { compareReleases } from '../core/release.ts';
import { type ByStore, roleOf, type StoreName, valuesByStore } from '../core/store-names.ts';
import { describeEvidence, type SystemEvidence } from '../core/system-evidence.ts';
import type { StoreProbe } from '../stores/export-step.ts';
import type { FoundMark, MarkRequest } from '../stores/marks.ts';
import type { StoreWarning } from '../stores/warning.ts';
import type { VersionMark } from './profile.ts';
import { findProfile } from './profiles.ts';

/** A system as a target's configuration, or an archive, states it. */
export interface SystemLayout {
  readonly profile: string;
  readonly parameters: unknown;
}

type Mark = SystemEvidence['marks'][number];
/** What a measurement of a store contains about versions. */
type Measured = Pick<StoreProbe, 'counts'> & { readonly marks?: StoreProbe['marks'] | undefined };

/** A version as a system records it. */
const VERSION = /^v?\d[\w.+-]{0,49}$/;

function marksOf({ profile, parameters }: SystemLayout): readonly VersionMark[] {
  return findProfile(profile).versionMarks?.(parameters) ?? [];
}

/** What a probe of a store has to look for. */
export function markRequests(layout: SystemLayout, name: StoreName): MarkRequest[] {
  return marksOf(layout).flatMap(({ store, find }) =>
    store === roleOf(name) && find.kind !== 'tally' ? [find] : [],
  );
}

/**
 * Derives what the data reveals about the version of the system that wrote it. Undefined if it reveals nothing.
 *
 * @param measured  measurements by store, or only the counts of an archive that has no more
 */
export function evidenceOf(
  layout: SystemLayout,
  measured: Readonly<ByStore<Measured>>,
): SystemEvidence | undefined {
  const known = marksOf(layout);
  const marks: Mark[] = [];
  const stores = valuesByStore(measured);
  for (const { store: role, find } of known) {
    for (const [store, found] of stores) {
      if (roleOf(store) !== role) continue;
      for (const mark of matching(find, found)) {
        const isNew = marks.every(
          (one) => one.store !== store || one.kind !== mark.kind || one.name !== mark.name,
        );
        if (isNew) marks.push({ store, ...mark });
      }
    }
  }
  if (marks.length === 0) return undefined;
  const matched = marks.flatMap((mark) => known.filter((one) => isMarkOf(one, mark)));
  const since = newest(matched.flatMap(({ since: first }) => first ?? []));
  // Migrations may leave old names behind, which say nothing beside newer ones.
  const before = oldest(
    matched.flatMap(({ before: first }) => first ?? []).filter((one) => isAfter(one, since)),
  );
  const version = marks.find(
    (mark) =>
      VERSION.test(mark.value ?? '') && known.some((one) => one.value === 'version' && isMarkOf(one, mark)),
  )?.value;
  return {
    ...(version === undefined ? {} : { version }),
    ...(since === undefined ? {} : { since }),
    ...(before === undefined ? {} : { before }),
    marks,
  };
}

/**
 * Warnings of a backup about one store: what is not saved because another version wrote it, and whether the configured
 * version differs from that of the data.
 */
export function layoutWarnings(
  layout: SystemLayout,
  configured: string | undefined,
  store: StoreName,
  measured: Measured,
): StoreWarning[] {
  const evidence = evidenceOf(layout, { [store]: measured });
  if (!evidence) return [];
  const warnings: StoreWarning[] = [];
  for (const mark of evidence.marks) {
    const text = marksOf(layout).find((one) => isMarkOf(one, mark))?.leftOut;
    if (text !== undefined) warnings.push({ code: 'former-names-left-out', text, count: 1 });
  }
  const found = describeEvidence(evidence);
  if (configured !== undefined && found !== undefined && !agrees(configured, evidence)) {
    warnings.push({
      code: 'system-version-differs',
      text: `"system_version" of the target is ${configured}, but a version ${found} of the GraphRAG system wrote this data: correct it in cdk.json and deploy, or start the system so that it migrates its data.`,
      count: 1,
      samples: evidence.marks.slice(0, 3).map(markText),
    });
  }
  return warnings;
}

/**
 * Warnings of a restore about data that the target's version of the system reads or writes differently.
 *
 * @param saved  what the archive's data reveals
 * @param now    what the target's data reveals, if it has any, and the version that the target's configuration states
 */
export function migrationWarnings(
  layout: SystemLayout,
  saved: SystemEvidence,
  now: { readonly evidence?: SystemEvidence | undefined; readonly configured?: string | undefined },
): string[] {
  const known = marksOf(layout);
  const { evidence } = now;
  const exact = now.configured ?? evidence?.version;
  const atLeast = exact ?? evidence?.since;
  const isBefore = (release: string) =>
    exact === undefined
      ? evidence?.before !== undefined && !isAfter(evidence.before, release)
      : isAfter(release, exact);
  const warnings: string[] = [];
  for (const mark of saved.marks) {
    for (const { before, since, later, earlier, value } of known.filter((one) => isMarkOf(one, mark))) {
      const what = `the backup has ${markText(mark)}`;
      if (before !== undefined && later !== undefined && isAfter(before, saved.since)) {
        if (atLeast !== undefined && !isAfter(before, atLeast)) {
          warnings.push(
            `${what}, of a version before ${before}, and the target has ${describe(now)}: versions from ${before} on ${later}`,
          );
        } else if (!isBefore(before)) {
          warnings.push(
            `${what}, of a version before ${before}: if the target has ${before} or later, these versions ${later}`,
          );
        }
      }
      if (since !== undefined && earlier !== undefined && isBefore(since)) {
        warnings.push(
          `${what}, of ${since} or later, and the target has ${describe(now)}: versions before ${since} ${earlier}`,
        );
      }
      if (value === 'revision') {
        const other = evidence?.marks.find((one) => one.store === mark.store && one.name === mark.name);
        if (other && other.value !== mark.value) {
          warnings.push(
            `${what}, and the target has ${other.value ?? 'none'}: the system migrates its databases when it starts, if it is the newer one`,
          );
        }
      }
    }
  }
  return [...new Set(warnings)];
}

/** `graph index entity_id_fulltext_idx`, `kv alembic_version.version_num = c1a2b3d4e5f9`. */
export function markText({ store, kind, name, value }: Mark): string {
  const what = kind === 'tally' || kind === 'value' ? '' : `${kind} `;
  return `${store} ${what}${name}${value === undefined ? '' : ` = ${value}`}`;
}

function describe({ evidence, configured }: Parameters<typeof migrationWarnings>[2]): string {
  return configured ?? (evidence && describeEvidence(evidence)) ?? 'an unknown version';
}

/** Whether a version is in the range that the data reveals. */
function agrees(version: string, { version: exact, since, before }: SystemEvidence): boolean {
  if (exact !== undefined) return compareReleases(version, exact) === 0;
  const isOlder = since !== undefined && isAfter(since, version);
  const isNewer = before !== undefined && !isAfter(before, version);
  return !isOlder && !isNewer;
}

/** What a measurement has of a mark: of tallies, the first one that is not zero. */
function matching(
  find: VersionMark['find'],
  { counts = {}, marks = [] }: Measured,
): readonly Omit<Mark, 'store'>[] {
  if (find.kind !== 'tally') return marks.filter((mark) => isFound(find, mark));
  const tally = Object.keys(counts).find((name) => (counts[name] ?? 0) > 0 && find.pattern.test(name));
  return tally === undefined ? [] : [{ kind: 'tally', name: tally }];
}

function isFound(find: MarkRequest, { kind, name }: Pick<FoundMark, 'kind' | 'name'>): boolean {
  if (find.kind !== kind) return false;
  if (find.kind === 'label') return find.label === name;
  if (find.kind === 'value') return `${find.table}.${find.column}` === name;
  return find.pattern.test(name);
}

function isMarkOf({ store, find }: VersionMark, mark: Mark): boolean {
  if (store !== roleOf(mark.store)) return false;
  if (find.kind === 'tally') return mark.kind === 'tally' && find.pattern.test(mark.name);
  return isFound(find, mark as FoundMark);
}

/** Whether the first release is later. True if one of them is unknown. */
function isAfter(one: string, other: string | undefined): boolean {
  return other === undefined || (compareReleases(one, other) ?? 1) > 0;
}

function newest(releases: readonly string[]): string | undefined {
  return releases.toSorted((one, other) => compareReleases(one, other) ?? 0).at(-1);
}

function oldest(releases: readonly string[]): string | undefined {
  return releases.toSorted((one, other) => compareReleases(one, other) ?? 0).at(0);
}
