import { opendir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { InvalidInputError } from '../../shared/core/errors.ts';

/** The packages of this checkout: real data, available on every machine that runs the demo. */
export const INSTALLED_PACKAGES = fileURLToPath(new URL('../../node_modules', import.meta.url));

/** READMEs are cut to this many characters, so that no package outweighs all others. */
const README_CHARACTERS_MAX = 64 * 1024;
/** Files beyond this many bytes are not read: neither a manifest nor a README is that large. */
const FILE_BYTES_MAX = 4 * 1024 * 1024;

/** An installed package, described by its own files. */
export interface InstalledPackage {
  readonly name: string;
  readonly version: string;
  readonly description: string;
  readonly readme: string;
  readonly licence: string;
  readonly authors: readonly string[];
  readonly maintainers: readonly string[];
  readonly keywords: readonly string[];
  readonly dependencies: readonly string[];
}

const Person = z.union([z.string(), z.object({ name: z.string() }).transform((person) => person.name)]);
const People = z.union([z.array(Person.catch('')), Person.transform((person) => [person])]).catch([]);

/**
 * The fields of a `package.json` that are read. Types on npm are unreliable, so a field with another type is treated
 * as absent.
 */
const PackageManifest = z.object({
  name: z.string().min(1),
  version: z.string().catch('0.0.0'),
  description: z.string().catch(''),
  license: z
    .union([z.string(), z.object({ type: z.string() }).transform((licence) => licence.type)])
    .catch(''),
  author: People,
  maintainers: People,
  contributors: People,
  keywords: z
    .union([z.array(z.string().catch('')), z.string().transform((text) => text.split(/[,\s]+/))])
    .catch([]),
  dependencies: z.record(z.string(), z.unknown()).catch({}),
  os: z.unknown().optional(),
  cpu: z.unknown().optional(),
});

/**
 * Reads the packages installed directly under `folder`, in the order of their names. Packages for a single operating
 * system or processor are omitted, so that every machine with the same lock file reads the same ones.
 */
export async function* readInstalledPackages(
  folder: string = INSTALLED_PACKAGES,
): AsyncGenerator<InstalledPackage> {
  for (const name of await packageNames(folder)) {
    const path = join(folder, name);
    const text = await readText(join(path, 'package.json'));
    if (text === undefined) continue;
    const manifest = PackageManifest.safeParse(parseManifest(text, path));
    if (!manifest.success || manifest.data.os !== undefined || manifest.data.cpu !== undefined) continue;
    const { data } = manifest;
    // A folder with another name is an alias (`string-width-cjs`): the package also has a folder with its own name.
    if (data.name !== name) continue;
    yield {
      name: data.name,
      version: data.version,
      description: data.description.trim(),
      readme: await readReadme(path),
      licence: data.license.trim(),
      authors: clean(data.author.map(personName)),
      maintainers: clean([...data.maintainers, ...data.contributors].map(personName)),
      keywords: clean(data.keywords),
      dependencies: clean(Object.keys(data.dependencies)),
    };
  }
}

/** Folder names of packages, scoped ones as `@scope/name`, sorted by code unit (a locale would differ by machine). */
async function packageNames(folder: string): Promise<string[]> {
  const names: string[] = [];
  for (const name of await folderNames(folder)) {
    if (!name.startsWith('@')) names.push(name);
    else for (const inner of await folderNames(join(folder, name))) names.push(`${name}/${inner}`);
  }
  if (names.length === 0) {
    throw new InvalidInputError(`No packages are installed in ${folder}.`, {
      remedy: 'Run "npm ci" first: the knowledge base is built from the installed packages.',
    });
  }
  return names.sort(byCodeUnit);
}

async function folderNames(folder: string): Promise<string[]> {
  const names: string[] = [];
  for await (const entry of await opendir(folder)) {
    if (entry.isDirectory() && !entry.name.startsWith('.')) names.push(entry.name);
  }
  return names;
}

async function readReadme(folder: string): Promise<string> {
  const names: string[] = [];
  for await (const entry of await opendir(folder)) {
    if (entry.isFile() && /^readme(\.(md|markdown|txt))?$/i.test(entry.name)) names.push(entry.name);
  }
  const first = names.sort(byCodeUnit)[0];
  const text = first === undefined ? undefined : await readText(join(folder, first));
  // A cut through a surrogate pair would leave text that is not valid Unicode, which no store preserves.
  return (text ?? '').slice(0, README_CHARACTERS_MAX).toWellFormed().trim();
}

async function readText(path: string): Promise<string | undefined> {
  try {
    if ((await stat(path)).size > FILE_BYTES_MAX) return undefined;
    return (await readFile(path, 'utf8')).toWellFormed();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function parseManifest(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new InvalidInputError(`${join(path, 'package.json')} is not JSON.`, {
      remedy: 'Run "npm ci" to install the packages again.',
      cause,
    });
  }
}

/** `Ada Lovelace <ada@example.org> (https://…)` without address and link. */
function personName(person: string): string {
  return person.replace(/[<(].*$/s, '');
}

/** Trimmed, not empty, without duplicates, in code-unit order. */
function clean(values: readonly string[]): string[] {
  return [...new Set(values.map((value) => value.replaceAll(/\s+/g, ' ').trim()).filter(Boolean))].sort(
    byCodeUnit,
  );
}

function byCodeUnit(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
