/** `npm run cli:build`: builds the npm package of the command line in dist/cli. cli/release.ts makes the one that is published. */
import { chmod, copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';
import { z } from 'zod';
import { NODE_BUNDLE, REQUIRE } from '../infra/bundle.ts';
import { parseJson } from '../shared/core/input.ts';

const ROOT = resolve(import.meta.dirname, '..');
const PROGRAM = 'ngbak.mjs';
/** The first Node version whose zlib supports zstd. */
export const NODE_MIN = '22.15';

const Described = z.object({
  name: z.string(),
  version: z.string(),
  description: z.string(),
  license: z.string(),
});

const README = `# ngbak

Backup and restore of GraphRAG systems on AWS: graph, vectors, key-value data and configuration in one archive.

    ngbak doctor
    ngbak backup --wait
    ngbak restore backup_20260102_030000.ngbak

\`ngbak --help\` lists the other commands. \`ngbak deploy\` and \`ngbak local\` need a checkout of the repository.
`;

/**
 * Bundles the command line with everything it imports into one file that Node runs directly, next to the package.json
 * that declares the command. Node refuses TypeScript in installed packages, and installing a command should not install
 * the CDK with it.
 *
 * @param folder  the output folder; existing contents are replaced
 * @param options.repository  `owner/name` on GitHub
 */
export async function buildCli(
  folder: string,
  { repository }: { readonly repository?: string | undefined } = {},
): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await build({
    entryPoints: [join(ROOT, 'cli/main.ts')],
    outfile: join(folder, PROGRAM),
    ...NODE_BUNDLE,
    target: 'node22',
    banner: { js: `#!/usr/bin/env node\n${REQUIRE}` },
  });
  await chmod(join(folder, PROGRAM), 0o755);
  await copyFile(join(ROOT, 'LICENSE'), join(folder, 'LICENSE'));
  await writeFile(join(folder, 'README.md'), README);
  const described = parseJson(Described, await readFile(join(ROOT, 'package.json'), 'utf8'), 'package.json');
  const manifest = {
    ...described,
    ...(repository === undefined
      ? {}
      : { repository: { type: 'git', url: `git+https://github.com/${repository}.git` } }),
    type: 'module',
    bin: { ngbak: PROGRAM },
    engines: { node: `>=${NODE_MIN}` },
    files: [PROGRAM],
  };
  await writeFile(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
}

if (process.argv[1] === import.meta.filename) {
  const folder = join(ROOT, 'dist/cli');
  await buildCli(folder);
  console.log(`${folder}: try it with npm install -g ${folder}`);
}
