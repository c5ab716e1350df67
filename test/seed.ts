/**
 * The seed of all random data in this run. test/run.ts chooses and prints it; `NGBAK_TEST_SEED` sets it, to repeat a
 * run.
 */
export const SEED = Number(process.env.NGBAK_TEST_SEED ?? 1);
