/**
 * `npm run release -- v0.1.0`: creates everything that a release publishes, in dist/release: the npm package of the
 * command line, a CycloneDX SBOM of the dependencies that it bundles, SHA256SUMS of both, and NOTES.md, the section of
 * CHANGELOG.md.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { z } from 'zod';
import { parseJson } from '../shared/core/input.ts';
import { VERSION } from '../shared/core/version.ts';
import { buildCli } from './build.ts';

const ROOT = resolve(import.meta.dirname, '..');
/** Largest SBOM that is accepted from npm: one component for each dependency, about 2 KB each. */
const SBOM_BYTES_MAX = 16 * 1024 ** 2;

/** The fields of the lock file used here: which packages only development tools use. */
const LockFile = z.looseObject({
  packages: z.record(z.string(), z.looseObject({ dev: z.boolean().default(false) })),
});

/** The field of npm's SBOM used here: the component that it describes. */
const Sbom = z.looseObject({
  bomFormat: z.literal('CycloneDX'),
  metadata: z.looseObject({
    component: z.looseObject({ name: z.string(), version: z.string(), 'bom-ref': z.string() }),
  }),
});

/**
 * The text of one version's section in CHANGELOG.md, without its heading. Throws if the version has no dated section,
 * or an empty one: a release without notes is a mistake.
 */
export function changelogSection(changelog: string, version: string): string {
  const lines = changelog.split('\n');
  const begin = lines.findIndex((line) => {
    const [, found] = /^## \[?([^\]\s]+)\]? - \d{4}-\d{2}-\d{2}$/.exec(line) ?? [];
    return found === version;
  });
  if (begin < 0) throw new Error(`CHANGELOG.md has no dated section "## ${version} - YYYY-MM-DD".`);
  const length = lines.slice(begin + 1).findIndex((line) => line.startsWith('## '));
  const section = lines.slice(begin + 1, length < 0 ? undefined : begin + 1 + length);
  const text = section.join('\n').trim();
  if (text === '') throw new Error(`The section of ${version} in CHANGELOG.md is empty.`);
  return `${text}\n`;
}

/**
 * Creates the files of a release in a folder, which is emptied first, and returns their names.
 *
 * @param tag  the tag of the release: `v` and the version in package.json
 * @param repository  `owner/name` on GitHub, which npm compares with the provenance
 */
export async function makeRelease(
  tag: string,
  folder: string,
  repository: string | undefined,
): Promise<readonly string[]> {
  if (tag !== `v${VERSION}`) throw new Error(`The tag is ${tag}, but package.json has version ${VERSION}.`);
  const notes = changelogSection(await readFile(join(ROOT, 'CHANGELOG.md'), 'utf8'), VERSION);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const built = join(folder, 'package');
  await buildCli(built, { repository });
  await npm(ROOT, 'pack', '--silent', '--pack-destination', folder, built);
  await rm(built, { recursive: true });
  await writeFile(join(folder, `ngbak-${VERSION}.cdx.json`), await sbom());
  const files = (await readdir(folder)).sort();
  const sums = await Promise.all(files.map(async (file) => `${await sha256(join(folder, file))}  ${file}\n`));
  await writeFile(join(folder, 'SHA256SUMS'), sums.join(''));
  await writeFile(join(folder, 'NOTES.md'), notes);
  return (await readdir(folder)).sort();
}

/** The dependencies of production code, at the versions and with the hashes of the lock file. */
async function sbom(): Promise<string> {
  // npm 11.19 confuses packages that development tools use or bundle as well (also with --omit=dev), so it gets a lock file
  // without development tools.
  const folder = await mkdtemp(join(tmpdir(), 'ngbak-sbom-'));
  try {
    const { packages, ...lock } = parseJson(
      LockFile,
      await readText('package-lock.json'),
      'package-lock.json',
    );
    const used = Object.entries(packages).filter(([, { dev }]) => !dev);
    const production = Object.fromEntries(used.map(([path, entry]) => [path, withoutTools(entry)]));
    const root = withoutTools(parseJson(z.looseObject({}), await readText('package.json'), 'package.json'));
    await writeFile(join(folder, 'package-lock.json'), JSON.stringify({ ...lock, packages: production }));
    await writeFile(join(folder, 'package.json'), JSON.stringify(root));
    const text = await npm(folder, 'sbom', '--sbom-format=cyclonedx', '--package-lock-only');
    const { metadata, ...rest } = parseJson(Sbom, text, 'The SBOM of npm');
    // npm names the root component after the folder.
    const bom = { ...rest, metadata: { ...metadata, component: { ...metadata.component, name: 'ngbak' } } };
    return `${JSON.stringify(bom, null, 2)}\n`;
  } finally {
    await rm(folder, { recursive: true });
  }
}

function withoutTools<T extends object>(entry: T): Omit<T, 'devDependencies'> {
  const { devDependencies, ...rest } = entry as T & { devDependencies?: unknown };
  return rest;
}

const readText = (name: string) => readFile(join(ROOT, name), 'utf8');

async function npm(cwd: string, ...args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)('npm', args, { cwd, maxBuffer: SBOM_BYTES_MAX });
  return stdout;
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

if (process.argv[1] === import.meta.filename) {
  const folder = join(ROOT, 'dist/release');
  const files = await makeRelease(process.argv[2] ?? `v${VERSION}`, folder, process.env.GITHUB_REPOSITORY);
  console.log(`${folder}:\n${files.map((file) => `  ${file}`).join('\n')}`);
}
