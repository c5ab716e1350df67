import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Bundles } from '../infra/bundle.ts';
import type { FunctionName } from '../infra/functions.ts';

/** The output of a step, and the peak resident memory of its process. */
export interface MeasuredStep {
  readonly output: Record<string, unknown>;
  readonly peak_bytes: number;
}

/**
 * Runs one step of a workflow in a separate process, with Node's command line.
 *
 * @param commandLine  as set by Lambda's runtime: `lambdaCommandLine` in infra/process-settings.ts
 */
export function runStep(
  bundles: Bundles,
  name: FunctionName,
  event: object,
  { env, commandLine }: { env: Readonly<Record<string, string>>; commandLine: readonly string[] },
): Promise<MeasuredStep> {
  return new Promise((resolve, reject) => {
    const script = fileURLToPath(new URL('run-step.ts', import.meta.url));
    const child = spawn(process.execPath, [...commandLine, script, join(bundles[name], 'index.mjs')], {
      env: { ...process.env, ...env },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let text = '';
    child.stdout.on('data', (chunk) => {
      text += chunk;
    });
    child.on('error', reject);
    child.on('close', (code) => {
      const last = text.trim().split('\n').at(-1) ?? '';
      if (code === 0) resolve(JSON.parse(last) as MeasuredStep);
      else reject(new Error(`${name} ended with ${code}: ${text}`));
    });
    child.stdin.end(JSON.stringify(event));
  });
}

/** Runs every leg of an export, from the state that the plan returned. Returns the highest peak, in bytes. */
export async function peakOfExport(
  states: readonly { done: boolean }[],
  run: (state: object) => Promise<MeasuredStep>,
): Promise<number> {
  let peak = 0;
  for (let state of states) {
    while (!state.done) {
      const leg = await run(state);
      peak = Math.max(peak, leg.peak_bytes);
      state = leg.output as unknown as { done: boolean };
    }
  }
  return peak;
}
