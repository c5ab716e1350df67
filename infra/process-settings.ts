/**
 * How the process of every function is set up: environment variables that Node and glibc read before the first line of
 * ours. They keep memory from growing with the data where nothing needs it; bench/exporter-memory.ts measures it.
 */
export const PROCESS_SETTINGS: Readonly<Record<string, string>> = {
  // A young generation of few MiB: what exporters make is garbage within milliseconds. And the means to collect garbage
  // before 64 MiB of buffers wait: shared/core/collect-garbage.ts.
  NODE_OPTIONS: '--max-semi-space-size=2 --expose-gc',
  // Each thread that compresses would keep a heap of its own forever.
  MALLOC_ARENA_MAX: '1',
  // Buffers above this size are given back when they are freed. Left alone, glibc raises it up to 32 MiB.
  MALLOC_MMAP_THRESHOLD_: '131072',
};

/**
 * What the managed runtime puts on Node's command line for a function of that much memory, in MB. It wins over
 * `NODE_OPTIONS`: the young generation is larger on AWS than PROCESS_SETTINGS say, by up to three times these 5 %
 * (`/var/runtime/bootstrap` of the base image public.ecr.aws/lambda/nodejs).
 */
export function lambdaCommandLine(memoryMb: number): string[] {
  return [
    '--expose-gc',
    `--max-semi-space-size=${Math.round(memoryMb * 0.05)}`,
    `--max-old-space-size=${Math.round(memoryMb * 0.9)}`,
  ];
}
