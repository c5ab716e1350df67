/**
 * Whether this is the nightly run, which has time for sizes and numbers that `npm test` does not have, and whose test
 * deployment uses the delays of production.
 */
export const NIGHTLY = process.env.NGBAK_TEST_NIGHTLY === '1';
