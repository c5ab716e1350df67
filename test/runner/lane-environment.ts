/**
 * Runs before each test file: provides the servers of its Jest worker. Files of one worker run one after the other, so
 * each lane of servers serves one file at a time. test/runner/lanes.ts starts the lanes.
 */
const lanes = JSON.parse(process.env.NGBAK_TEST_LANES ?? '[]') as Record<string, string>[];
Object.assign(process.env, lanes[Number(process.env.JEST_WORKER_ID ?? 1) - 1]);
