import { copyFileSync, mkdirSync, rmSync } from 'node:fs';
import { basename, join, relative, resolve } from 'node:path';
import { type BuildOptions, buildSync, type Metafile } from 'esbuild';
import { FUNCTION_NAMES, type FunctionName } from './functions.ts';

const FUNCTIONS = join(import.meta.dirname, '..', 'functions');

/** Name of the handler within each bundle, in Lambda's notation. */
export const HANDLER = 'index.handler';

/** Start of a bundle: packages in CommonJS call `require`, which ES modules do not have. */
export const REQUIRE = "import{createRequire}from'node:module';const require=createRequire(import.meta.url);";

/** Settings for bundles of Node programs: the functions and the command line. */
export const NODE_BUNDLE = {
  // Includes the AWS SDK: the version in the runtime is not the tested one.
  bundle: true,
  platform: 'node',
  format: 'esm',
  mainFields: ['module', 'main'],
  // Identifiers are kept, so that stack traces are readable without source maps: to apply one, Node parses the whole map
  // at the first error, which takes 60 MiB and a tenth of a second.
  minifyWhitespace: true,
  minifySyntax: true,
  // Names of classes are names of errors, which Retry and Catch match.
  keepNames: true,
  legalComments: 'none',
  logLevel: 'warning',
} satisfies BuildOptions;

/** The folder of each function's bundle. */
export type Bundles = Readonly<Record<FunctionName, string>>;

/**
 * Bundles every function with all its imports, in one run of esbuild: CDK's NodejsFunction would start esbuild through
 * npx once for each function, which takes twenty times as long. The clients of the stores are separate files, which are
 * loaded with the first connection: Node compiles the whole of a bundle at a cold start.
 *
 * @param folder       parent folder of the bundles
 * @param nodeVersion  major version of the runtime
 */
export function bundleFunctions(folder: string, nodeVersion = 24): Bundles {
  // Absolute, since esbuild runs in another folder.
  const shared = resolve(folder, '.shared');
  const { metafile } = buildSync({
    entryPoints: Object.fromEntries(FUNCTION_NAMES.map((name) => [name, join(FUNCTIONS, `${name}.ts`)])),
    outdir: shared,
    outExtension: { '.js': '.mjs' },
    splitting: true,
    metafile: true,
    // The names of the files derive from paths relative to it.
    absWorkingDir: FUNCTIONS,
    ...NODE_BUNDLE,
    target: `node${nodeVersion}`,
    banner: { js: REQUIRE },
  });
  const bundles = FUNCTION_NAMES.map((name) => {
    const bundle = join(folder, name);
    mkdirSync(bundle, { recursive: true });
    const entry = relative(FUNCTIONS, join(shared, `${name}.mjs`));
    for (const file of filesOf(entry, metafile)) {
      copyFileSync(join(FUNCTIONS, file), join(bundle, file === entry ? 'index.mjs' : basename(file)));
    }
    return [name, bundle];
  });
  rmSync(shared, { recursive: true });
  return Object.fromEntries(bundles) as Bundles;
}

/** A file and every file that it imports, directly or not. */
function filesOf(entry: string, { outputs }: Metafile): ReadonlySet<string> {
  const files = new Set([entry]);
  // Additions are visited as well.
  for (const file of files) {
    for (const { path, external } of outputs[file]?.imports ?? []) if (!external) files.add(path);
  }
  return files;
}
