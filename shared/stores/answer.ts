import { createHash } from 'node:crypto';

/** Fields that hold a server's internal record IDs, which differ after every restore. */
const INTERNAL = new Set(['identity', 'elementId', 'start', 'end', 'startNodeElementId', 'endNodeElementId']);

/**
 * Summarizes the answer to a smoke check without revealing data. Equal answers give equal summaries: numbers are shown
 * as they are, everything else as its size and the first digits of its SHA-256.
 */
export function summarizeAnswer(answer: unknown): string {
  if (answer === null || answer === undefined) return 'nothing';
  if (typeof answer === 'number' || typeof answer === 'bigint' || typeof answer === 'boolean') {
    return String(answer);
  }
  if (Array.isArray(answer) && answer.length === 1) return summarizeRow(answer[0]);
  const text = comparable(answer);
  const size = Array.isArray(answer) ? `${answer.length} rows` : `${text.length} characters`;
  return `${size}, ${digestOf(text)}`;
}

/** Summarizes one row: `count 42, name 12 characters, sha256 …`. */
function summarizeRow(row: unknown): string {
  if (typeof row !== 'object' || row === null || Array.isArray(row)) return summarizeAnswer(row);
  const entries = Object.entries(row);
  const plain = entries.every(([, value]) => typeof value === 'number' || typeof value === 'bigint');
  if (plain && entries.length > 0) return entries.map(([name, value]) => `${name} ${value}`).join(', ');
  return `1 row, ${digestOf(comparable(row))}`;
}

function comparable(value: unknown): string {
  return JSON.stringify(value, (key, inner: unknown) => {
    if (INTERNAL.has(key)) return undefined;
    if (typeof inner === 'bigint') return `${inner}n`;
    if (typeof inner !== 'object' || inner === null || Array.isArray(inner)) return inner;
    return Object.fromEntries(Object.entries(inner).sort(([left], [right]) => (left < right ? -1 : 1)));
  });
}

function digestOf(text: string): string {
  return `sha256 ${createHash('sha256').update(text).digest('hex').slice(0, 12)}`;
}
