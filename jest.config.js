import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';

const cache = resolve(process.env.NGBAK_LOCAL_DIR || join(import.meta.dirname, '.local'), 'cache');
// swc would keep its library in HOME.
process.env.SWC_NATIVE_BINDING_CACHE ??= join(cache, 'swc');
mkdirSync(process.env.SWC_NATIVE_BINDING_CACHE, { recursive: true });

/** Jest runs the TypeScript sources as ES modules, stripped of their types by swc. */
export default {
  testEnvironment: '<rootDir>/test/runner/environment.cjs',
  // Not in the temporary directory, which does not outlive a run.
  cacheDirectory: join(cache, 'jest'),
  roots: ['<rootDir>/test'],
  testMatch: ['**/*.test.ts'],
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        jsc: { parser: { syntax: 'typescript' }, target: 'es2024' },
        module: { type: 'es6' },
        sourceMaps: 'inline',
      },
    ],
  },
  // For hangs only, on a machine that may be slow: no test has a deadline of its own below this one.
  testTimeout: 900_000,
  setupFiles: ['<rootDir>/test/runner/lane-environment.ts'],
  testSequencer: '<rootDir>/test/runner/slowest-first.cjs',
  // More of them only with as many lanes of servers: test/run.ts.
  maxWorkers: 1,
  // Jest keeps what the modules of a test file took. A process that has grown is replaced before the next file: one that ran
  // all of them spent more time on collecting garbage than on tests.
  workerIdleMemoryLimit: '300MB',
};
