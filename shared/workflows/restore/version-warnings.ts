import semver, { type SemVer } from 'semver';
import type { Manifest } from '../../archive/format/manifest.ts';
import { findTarget, type NgbakConfig, type TargetConfig } from '../../core/config.ts';
import type { ByStore, StoreName } from '../../core/store-names.ts';
import { VERSION } from '../../core/version.ts';
import { evidenceOf, migrationWarnings } from '../../profiles/system-evidence.ts';
import type { StoreProbe } from '../../stores/export-step.ts';
import type { StoreAdapter } from '../../stores/store.ts';
import { isRehearsal } from '../drill/destination.ts';
import type { AdmittedRestore } from './plan.ts';

/** What was measured of the target's stores. */
export type Measured = ByStore<Pick<StoreProbe, 'counts' | 'marks'>>;

/** Characters shown of a version that an archive states. */
const SHOWN_MAX = 50;

/** Possible differences because another version of ngbak or of the GraphRAG system made the backup. */
export function originWarnings(
  { ngbak_version: maker, nano_graphrag_version: saved, scope }: Manifest,
  { profile, system_version: current }: TargetConfig,
  ngbak: string = VERSION,
): string[] {
  const warnings: string[] = [];
  const age =
    maker === undefined || maker === ngbak ? 'same' : relate(semver.parse(maker), semver.parse(ngbak));
  if (maker !== undefined && age !== 'same') {
    const effect =
      age === 'older'
        ? 'data that this version did not save or count is missing (CHANGELOG.md lists the differences)'
        : 'unknown fields are ignored, and entries of unknown kinds refuse the restore';
    warnings.push(
      `the backup was created by ${age === 'older' ? 'an older' : age === 'newer' ? 'a newer' : 'another'} ngbak, ${shown(maker)} (this is ${ngbak}): ${effect}`,
    );
  }
  if (scope.profile !== undefined && scope.profile !== profile) {
    warnings.push(
      `the backup is of a system with profile "${shown(scope.profile)}", and the target has profile "${profile}": names and values may differ from what the target's system expects`,
    );
  }
  if (saved != null && current !== undefined && !isSameRelease(saved, current)) {
    warnings.push(
      `the backup is of version ${shown(saved)} of the GraphRAG system, and the target runs ${current}: it may expect other fields, names or embeddings; check its release notes before you confirm`,
    );
  }
  return warnings;
}

/**
 * Possible differences because the data was saved from another version or edition of the server. Versions that differ
 * only after the minor version are treated as having the same data format.
 */
export function serverWarnings(
  { storage_backends }: Manifest,
  name: StoreName,
  { version, edition }: Pick<StoreProbe, 'version' | 'edition'>,
  notes: StoreAdapter['versionNotes'],
): string[] {
  const saved = storage_backends[name];
  if (saved === undefined) return [];
  const warnings: string[] = [];
  const target = saved.version === undefined ? 'same' : relate(minorOf(version), minorOf(saved.version));
  if (saved.version !== undefined && (target === 'older' || target === 'newer')) {
    const note = notes?.[target];
    warnings.push(
      `the backup was created from version ${shown(saved.version)}, and the target is ${target}: ${version}${note === undefined ? '' : `; ${note}`}`,
    );
  }
  // Not for folders and buckets, whose editions do not differ in features.
  if (notes && saved.edition !== undefined && edition !== undefined && saved.edition !== edition) {
    warnings.push(
      `the backup was created from ${shown(saved.edition)}, and the target is ${edition}: features that only one of them has may be missing`,
    );
  }
  return warnings;
}

/** Warnings about the versions of ngbak and of the GraphRAG system, and about what migrations of the latter change. */
export function systemWarnings(
  config: NgbakConfig,
  { target, drill }: Pick<AdmittedRestore, 'target' | 'drill'>,
  manifest: Manifest,
  measured: Measured,
): string[] {
  const layout = findTarget(config, target);
  // Under scratch names there is nothing yet, and no system uses it.
  const isScratch = drill !== undefined && !isRehearsal({ drill });
  const evidence = isScratch ? undefined : evidenceOf(layout, measured);
  const origin = originWarnings(manifest, {
    ...layout,
    system_version: layout.system_version ?? evidence?.version,
  });
  const { scope, tallies } = manifest;
  if (scope.profile !== layout.profile || isScratch) return origin;
  const saved = manifest.system_evidence ?? evidenceOf(layout, countsOf(tallies));
  if (!saved) return origin;
  const migrations = migrationWarnings(layout, saved, { evidence, configured: layout.system_version });
  return [...origin, ...migrations.map(printed)];
}

/** The counts of an archive that does not record what it reveals about versions. */
function countsOf(tallies: Manifest['tallies']): Measured {
  return Object.fromEntries(
    Object.entries(tallies).map(([store, counted]) => [
      store,
      { counts: Object.fromEntries(Object.entries(counted).map(([name, { count }]) => [name, count])) },
    ]),
  );
}

type Relation = 'same' | 'older' | 'newer' | 'other';

/** How the first version relates to the second; `other` if one of them is not a version. */
function relate(left: SemVer | null, right: SemVer | null): Relation {
  if (left === null || right === null) return 'other';
  const order = semver.compare(left, right);
  if (order === 0) return 'same';
  return order < 0 ? 'older' : 'newer';
}

/** Major and minor version. Loose, because calendar versions have leading zeros (`2025.01.0`). */
function minorOf(version: string): SemVer | null {
  const found = semver.coerce(version, { loose: true });
  return found && new semver.SemVer(`${found.major}.${found.minor}.0`);
}

/** GraphRAG systems are Python packages, whose versions may have four numbers: they are compared for equality only. */
function isSameRelease(left: string, right: string): boolean {
  const plain = (version: string) => version.replace(/^v/i, '').replace(/(\.0)+$/, '');
  return plain(left) === plain(right);
}

/** Untrusted text without characters that control a terminal. */
function printed(text: string): string {
  return text.replaceAll(/[\p{C}\u2028\u2029]/gu, '\ufffd');
}

/** Untrusted text of an archive, for display. */
function shown(text: string): string {
  const plain = printed(text);
  return plain.length <= SHOWN_MAX ? plain : `${plain.slice(0, SHOWN_MAX)}…`;
}
