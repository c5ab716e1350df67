import { createHash } from 'node:crypto';
import { glob, mkdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { synthesize } from '../../local/deploy.ts';
import { localFolder, ROOT } from '../../local/folders.ts';
import { emulatorAddress } from '../../local/services/aws.ts';

/** The inputs of the synthesized assembly and of the bundles of functions and dashboard. */
const SOURCES = [
  'cdk.json',
  'package-lock.json',
  'tsconfig.json',
  '{dashboard,functions,infra,shared}/**/*.{ts,tsx,css,html,svg,json}',
];

/** A digest of everything that a synthesis reads. */
async function digestOfSources(context: unknown): Promise<string> {
  const hash = createHash('sha256').update(`${process.version}\n${JSON.stringify(context)}\n`);
  const paths: string[] = [];
  for await (const path of glob(SOURCES, { cwd: ROOT })) paths.push(path);
  for (const path of paths.sort()) {
    if (!(await stat(join(ROOT, path))).isFile()) continue;
    hash.update(`${path}\n`).update(await readFile(join(ROOT, path)));
  }
  return hash.digest('hex').slice(0, 16);
}

/**
 * The cloud assembly of the app with that context, from `.local/assemblies/` if none of its inputs has changed since;
 * older assemblies are removed.
 */
export async function cachedAssembly(options: {
  readonly context: Readonly<Record<string, unknown>>;
  /** Of a local stack, for the log. */
  readonly folder: string;
  readonly signal: AbortSignal;
}): Promise<string> {
  const assemblies = join(localFolder(), 'assemblies');
  const assembly = join(assemblies, await digestOfSources(options.context));
  const isComplete = (folder: string) =>
    stat(join(folder, 'manifest.json')).then(
      () => true,
      () => false,
    );
  if (await isComplete(assembly)) return assembly;
  await rm(assemblies, { recursive: true, force: true });
  await mkdir(assemblies, { recursive: true });
  const unfinished = `${assembly}.${process.pid}`;
  // The region only: an assembly is the same for every emulator.
  await synthesize(emulatorAddress('http://127.0.0.1:1'), unfinished, options);
  await rename(unfinished, assembly);
  return assembly;
}
