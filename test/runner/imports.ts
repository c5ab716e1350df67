import { build, type Metafile } from 'esbuild';
import { ROOT } from '../../local/folders.ts';

/** What each module of the checkout that these reach imports, packages included; types do not count. */
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
