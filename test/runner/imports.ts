import { build, type Metafile } from 'esbuild';
import { ROOT } from '../../local/folders.ts';

/** The imports of each module of the checkout reachable from these, packages included; type imports are ignored. */
export async function importsOf(entryPoints: readonly string[]): Promise<Metafile['inputs']> {
  const { metafile } = await build({
    entryPoints: [...entryPoints],
    absWorkingDir: ROOT,
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    outdir: 'unwritten',
    write: false,
    metafile: true,
    logLevel: 'error',
  });
  return metafile.inputs;
}
