/**
 * What a cold start of each function costs before its handler runs: Node starts and loads the deployed bundle, with the
 * command line of Lambda's runtime. `node local/bootstrap.mjs bench/cold-start.ts [--runs 5] [--memory 3008]`
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Bundles, bundleFunctions } from '../infra/bundle.ts';
import { FUNCTION_NAMES, type FunctionName } from '../infra/functions.ts';
import { lambdaCommandLine } from '../infra/process-settings.ts';
import { median } from './median.ts';

const { values } = parseArgs({
  options: { runs: { type: 'string', default: '5' }, memory: { type: 'string', default: '3008' } },
});

/** Prints CPU time in microseconds and peak memory in KiB of a process that loaded a module. */
const LOAD = `
  if (process.argv[1] !== undefined) await import(process.argv[1]);
  const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
  console.log(JSON.stringify([userCPUTime + systemCPUTime, maxRSS]));
  process.exit();`;

/** CPU time in ms and peak memory in MiB, both medians. */
function measure(...modules: string[]): readonly [cpuMs: number, peakMib: number] {
  const runs = Array.from({ length: Number(values.runs) }, () => {
    const flags = [...lambdaCommandLine(Number(values.memory)), '--input-type=module', '--eval', LOAD];
    const output = execFileSync(process.execPath, [...flags, ...modules], {
      encoding: 'utf8',
      env: { ...process.env, AWS_REGION: 'eu-central-1' },
    });
    return JSON.parse(output) as [number, number];
  });
  return [median(runs.map(([cpu]) => cpu / 1000)), median(runs.map(([, peak]) => peak / 1024))];
}

/** Size of all code of a function, in MiB. */
function sizeOf(bundles: Bundles, name: FunctionName): number {
  const files = readdirSync(bundles[name]).filter((file) => file.endsWith('.mjs'));
  return files.reduce((sum, file) => sum + statSync(join(bundles[name], file)).size, 0) / 1024 ** 2;
}

const folder = mkdtempSync(join(tmpdir(), 'ngbak-bench-'));
try {
  const bundles = bundleFunctions(folder);
  console.log('| function | bundle | CPU | peak memory |');
  console.log('| --- | ---: | ---: | ---: |');
  const [nodeMs, nodeMib] = measure();
  console.log(`| Node alone | | ${nodeMs.toFixed(0)} ms | ${nodeMib.toFixed(0)} MiB |`);
  for (const name of FUNCTION_NAMES) {
    const [cpuMs, peakMib] = measure(join(bundles[name], 'index.mjs'));
    const size = sizeOf(bundles, name).toFixed(1);
    console.log(`| \`${name}\` | ${size} MiB | ${cpuMs.toFixed(0)} ms | ${peakMib.toFixed(0)} MiB |`);
  }
} finally {
  rmSync(folder, { recursive: true });
}
