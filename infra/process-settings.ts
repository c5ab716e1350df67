/**
 * Settings of every function's process: environment variables that Node and glibc read before any code runs. They
 * prevent memory from growing with the data; bench/exporter-memory.ts measures the effect.
 */
export const PROCESS_SETTINGS: Readonly<Record<string, string>> = {
  // A young generation of few MiB, because objects of exporters become garbage within milliseconds; and access to the
  // garbage collector, to collect before 64 MiB of buffers accumulate: shared/core/collect-garbage.ts.
  NODE_OPTIONS: '--max-semi-space-size=2 --expose-gc',
  // Otherwise each thread that compresses would permanently keep its own arena.
  MALLOC_ARENA_MAX: '1',
  // Buffers above this size are returned to the system when they are freed. By default, glibc raises this threshold
  // up to 32 MiB.
  MALLOC_MMAP_THRESHOLD_: '131072',
};

/**
 * The options that the managed runtime adds to Node's command line, for a function with this memory in MB. They
 * override `NODE_OPTIONS`: the young generation on AWS is larger than in PROCESS_SETTINGS, by up to three times these
 * 5 % (`/var/runtime/bootstrap` of the base image public.ecr.aws/lambda/nodejs).
 */
export function lambdaCommandLine(memoryMb: number): string[] {
  return [
    '--expose-gc',
    `--max-semi-space-size=${Math.round(memoryMb * 0.05)}`,
    `--max-old-space-size=${Math.round(memoryMb * 0.9)}`,
  ];
}
