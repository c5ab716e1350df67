import pc from 'picocolors';
import type { AspectProof, PartProof } from '../proof/ledger.ts';
import type { Proof } from '../proof/proof.ts';
import { alignColumns, formatCount } from './screen.ts';

interface Row {
  readonly title: string;
  /** Count and digest of this row in one reading. */
  readonly of: (parts: Readonly<Record<string, PartProof>>) => AspectProof | undefined;
}

/**
 * The table at the end: what there was, what the damage left, what came back, and whether its digest is the old one.
 * A part is one row, and so is each of its aspects that a person would ask about.
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

/** What the damage left, marked where it is not what was there: the count alone may be the same. */
function damagedCell(was: AspectProof | undefined, broken: AspectProof | undefined): string {
  const text = formatCount(broken?.count ?? 0);
  return was?.digest === broken?.digest ? `${text}  ` : pc.red(`${text} ≠`);
}

function rowsOf(before: Proof): Row[] {
  const part = (title: string, name: string, aspects: Record<string, string>): Row[] => [
    { title, of: (parts) => parts[name] },
    ...Object.entries(aspects)
      .filter(([aspect]) => before.parts[name]?.aspects[aspect] !== undefined)
      .map(([aspect, label]): Row => ({ title: `  ${label}`, of: (parts) => parts[name]?.aspects[aspect] })),
  ];
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
  ];
}
