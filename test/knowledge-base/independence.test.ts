import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import { ROOT } from '../../local/folders.ts';

const PROOF = join(ROOT, 'local/proof');

it('the proof imports nothing else from this repository, so that it cannot share an error with the exporters', async () => {
  const files = (await readdir(PROOF)).filter((name) => name.endsWith('.ts'));
  expect(files.length).toBeGreaterThan(3);
  for (const file of files) {
    const source = await readFile(join(PROOF, file), 'utf8');
    const imported = [...source.matchAll(/(?:from|import\()\s*'([^']+)'/g)].map((match) => match[1] ?? '');
    const foreign = imported.filter((path) => path.startsWith('.') && !/^\.\/[a-z-]+\.ts$/.test(path));
    expect({ file, foreign }).toEqual({ file, foreign: [] });
  }
});
