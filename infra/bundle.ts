import { join } from 'node:path';
import { type BuildOptions, buildSync } from 'esbuild';
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
 * Bundles every function with all its imports, in one run of esbuild: CDK's NodejsFunction would start esbuild
 * through npx once for each function, which takes twenty times as long.
 *
 * @param folder       parent folder of the bundles
 * @param nodeVersion  major version of the runtime
 */
export function bundleFunctions(folder: string, nodeVersion = 24): Bundles {
  buildSync({
    entryPoints: Object.fromEntries(
      FUNCTION_NAMES.map((name) => [`${name}/index`, join(FUNCTIONS, `${name}.ts`)]),
    ),
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    ...NODE_BUNDLE,
    target: `node${nodeVersion}`,
    banner: { js: REQUIRE },
  });
  return Object.fromEntries(FUNCTION_NAMES.map((name) => [name, join(folder, name)])) as Bundles;
}
