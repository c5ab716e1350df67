/**
 * `node test/archive/write-corpus.ts FOLDER`: writes every hostile archive there, and the expected errors of readers.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hostileArchives } from './corpus.ts';

const [folder] = process.argv.slice(2);
if (folder === undefined) {
  console.error('Usage: node test/archive/write-corpus.ts FOLDER');
  process.exit(2);
}
await mkdir(folder, { recursive: true });
const reasons: Record<string, string> = {};
for await (const { name, bytes, reason } of hostileArchives()) {
  await writeFile(join(folder, name), bytes);
  reasons[name] = reason.source;
}
await writeFile(join(folder, 'reasons.json'), `${JSON.stringify(reasons, null, 2)}\n`);
console.log(`${Object.keys(reasons).length} archives in ${folder}`);
