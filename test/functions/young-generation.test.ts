import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from '@jest/globals';
import { DATA_MB } from '../../infra/functions.ts';
import { lambdaCommandLine, PROCESS_SETTINGS } from '../../infra/process-settings.ts';

/**
 * Creates garbage, some of which survives for a while, as an exporter does; prints the largest young generation, in
 * bytes.
 */
const MAKE_GARBAGE = `
  import { getHeapSpaceStatistics } from 'node:v8';
  if (process.argv[1]) await import(process.argv[1]);
  const kept = [];
  let largest = 0;
  for (let i = 0; i < 3_000_000; i++) {
    kept[i % 200_000] = { id: i, values: [i, i + 1], text: 'record ' + i };
    if (i % 1000 > 0) continue;
    const { space_size } = getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space');
    largest = Math.max(largest, space_size);
  }
  console.log(largest);`;

async function youngGeneration(...modules: string[]): Promise<number> {
  const flags = [
    ...lambdaCommandLine(DATA_MB),
    '--input-type=module',
    '--disable-warning=ExperimentalWarning',
  ];
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [...flags, '--eval', MAKE_GARBAGE, ...modules],
    { env: { ...process.env, ...PROCESS_SETTINGS } },
  );
  return Number(stdout) / 1024 ** 2;
}

test('with the command line of Lambda’s runtime, the young generation of a function stays small regardless of its allocations', async () => {
  // Without the option, V8 lets it grow: otherwise this test would prove nothing.
  expect(await youngGeneration()).toBeGreaterThan(60);
  const step = fileURLToPath(new URL('../../functions/step.ts', import.meta.url));
  // It stays at its size after the modules are loaded, 16 or 31 MiB.
  expect(await youngGeneration(step)).toBeLessThan(40);
});
