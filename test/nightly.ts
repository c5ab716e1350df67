/**
 * Whether this is the nightly run, which has time for sizes and numbers that `npm test` has not, and whose test
 * deployment waits as long as production does.
 */
export const NIGHTLY = process.env.NGBAK_TEST_NIGHTLY === '1';
