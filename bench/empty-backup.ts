/**
 * Time of a backup of an empty system, from the start of the workflow to its catalog record, on the deployed local
 * stack: `node local/bootstrap.mjs bench/empty-backup.ts [--runs 5]`. This is the fixed cost of a backup.
 */
import { parseArgs } from 'node:util';
import { SFNClient } from '@aws-sdk/client-sfn';
import { interruptible } from '../local/interrupt.ts';
import { startStack } from '../local/stack.ts';
import { deployBench, execute, makeStores } from './bench-target.ts';
import { median } from './median.ts';

const { values } = parseArgs({ options: { runs: { type: 'string', default: '5' } } });

await interruptible(async (signal) => {
  const stack = await startStack({
    signal,
    onProgress: ({ service, text }) => console.error(`${service}: ${text}`),
  });
  try {
    Object.assign(process.env, stack.aws.env);
    const stores = await makeStores(stack, { kv: { prefix: '' } });
    const outputs = await deployBench(stack, { stores }, signal);
    const sfn = new SFNClient({});
    const seconds: number[] = [];
    // The first run starts every function's process: a cold start in AWS.
    for (let run = 0; run <= Number(values.runs); run++) {
      const execution = await execute(sfn, outputs.BackupStateMachineArn, {});
      if (execution.status !== 'SUCCEEDED') throw new Error(execution.cause ?? execution.status);
      // Backup ids contain the second of the start, so two may not start in the same second.
      await new Promise((resolve) => setTimeout(resolve, 1000));
      seconds.push((Number(execution.stopDate) - Number(execution.startDate)) / 1000);
    }
    const [cold = 0, ...warm] = seconds;
    const formatted = (value: number) => `${value.toFixed(1)} s`;
    console.log('| empty system | time |');
    console.log('| --- | ---: |');
    console.log(`| first backup, cold functions | ${formatted(cold)} |`);
    console.log(`| later backups, median of ${warm.length} | ${formatted(median(warm))} |`);
    console.log(`| later backups, slowest | ${formatted(Math.max(...warm))} |`);
  } finally {
    await stack.stop();
  }
});
