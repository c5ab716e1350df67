import prettyBytes from 'pretty-bytes';
import pc from '../../shared/core/colors.ts';
import type { BackupResult } from '../../shared/workflows/backup/record.ts';
import type { RecordCounts } from '../knowledge-base/copies.ts';
import type { AspectProof, PartProof } from '../proof/ledger.ts';
import type { Proof, ProofComparison } from '../proof/proof.ts';
import { alignColumns, formatCount, formatDuration } from './screen.ts';
import { countThings } from './stage.ts';

interface Row {
  readonly title: string;
  /** Count and digest of this row in one reading. */
  readonly of: (parts: Readonly<Record<string, PartProof>>) => AspectProof | undefined;
}

/**
 * The table at the end: the original counts, those after the damage and after the restore, and whether the digests
 * are equal. Each part has a row, and so has each of its aspects that a user would ask about.
 */
export function proofTable(before: Proof, damaged: Proof, after: Proof): string[] {
  const rows = [['', 'before', 'damaged  ', 'restored', 'proof'].map((title) => pc.dim(title))];
  for (const row of rowsOf(before)) {
    const [was, broken, is] = [before, damaged, after].map((proof) => row.of(proof.parts));
    const same = was !== undefined && was.digest === is?.digest;
    rows.push([
      row.title,
      formatCount(was?.count ?? 0),
      damagedCell(was, broken),
      formatCount(is?.count ?? 0),
      same ? `${pc.green('✔')} ${pc.dim(was.digest.slice(0, 12))}` : pc.red('✘ differs'),
    ]);
  }
  return alignColumns(rows);
}

/** The state after the damage, marked if it differs from the original: the counts alone may be equal. */
function damagedCell(was: AspectProof | undefined, broken: AspectProof | undefined): string {
  const text = formatCount(broken?.count ?? 0);
  return was?.digest === broken?.digest ? `${text}  ` : pc.red(`${text} ≠`);
}

function rowsOf(before: Proof): Row[] {
  const part = (title: string, name: string, aspects: Record<string, string>): Row[] => {
    const found = before.parts[name];
    // A part that only the other readings have is a difference of the comparison.
    if (found === undefined) return [];
    return [
      { title, of: (parts) => parts[name] },
      ...Object.entries(aspects)
        .filter(([aspect]) => found.aspects[aspect] !== undefined)
        .map(
          ([aspect, label]): Row => ({ title: `  ${label}`, of: (parts) => parts[name]?.aspects[aspect] }),
        ),
    ];
  };
  const names = Object.keys(before.parts);
  return [
    ...part('Neo4j nodes', 'nodes', { label: 'labels', property: 'properties' }),
    ...part('Neo4j relationships', 'relationships', { property: 'properties' }),
    ...part('Neo4j constraints', 'constraints', {}),
    ...part('Neo4j indexes', 'indexes', {}),
    ...part('Qdrant collections', 'collections', { setting: 'settings' }),
    ...names
      .filter((name) => name.startsWith('points '))
      .flatMap((name) => part(`Qdrant ${name}`, name, { vector: 'vectors', payload: 'payload fields' })),
    ...names
      .filter((name) => name.startsWith('keys '))
      .flatMap((name) => part(`Redis ${name}`, name, { value: 'values', expiry: 'expiry times' })),
    ...part('PostgreSQL tables', 'tables', {
      column: 'columns',
      constraint: 'constraints',
      index: 'indexes',
    }),
    ...part('PostgreSQL sequences', 'sequences', {}),
    ...names
      .filter((name) => name.startsWith('rows '))
      .flatMap((name) => part(`PostgreSQL ${name}`, name, { column: 'values' })),
    ...names.filter((name) => name.startsWith('files ')).flatMap((name) => part(`S3 ${name}`, name, {})),
  ];
}

/** The result of the demo in a few lines: whether everything was restored, and how long it took. */
export function verdict(
  comparison: ProofComparison,
  facts: {
    before: Proof;
    counts: RecordCounts;
    backup: BackupResult;
    bytes: number;
    seconds: Readonly<Record<string, number>>;
    /** What was compared, as in {@link DemoSystem.proves}. */
    proves: string;
  },
): string[] {
  const { before, counts, backup, bytes, seconds, proves } = facts;
  const took = (name: string) => formatDuration((seconds[name] ?? 0) * 1000);
  const total = Object.values(seconds).reduce((sum, value) => sum + value, 0);
  const rows = [
    [
      'Knowledge base',
      `${formatCount(counts.entities)} entities, ${formatCount(counts.relationships)} relationships`,
    ],
    ['Archive', `${prettyBytes(bytes)}, ${backup.backup_id}.ngbak`],
    ['Backup', `${took('backup')}, read back and verified`],
    ['Restore', `${took('restore')}, with a safety backup before it`],
    ['Altogether', formatDuration(total * 1000)],
  ];
  const facing = alignColumns(rows, 2).map((line) => `   ${line}`);
  if (comparison.identical) {
    const all = pc.bold(`All ${formatCount(countThings(before))} things are back, exactly as they were`);
    return [`${pc.green('✔')}  ${all}:`, `   every ${proves}.`, '', ...facing];
  }
  const samples = comparison.differences.map(({ part, thing, problem }) => `   ${part}: ${thing} ${problem}`);
  return [
    `${pc.red('✘')}  ${pc.bold(`${formatCount(comparison.total)} things differ`)}, such as`,
    ...samples,
    '',
    ...facing,
  ];
}
