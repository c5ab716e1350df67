/**
 * Time of a backup of an empty system, from the start of the workflow to its catalog record, on the deployed local
 * stack: `node local/bootstrap.mjs bench/empty-backup.ts [--runs 5]`. This is the fixed cost of a backup.
 */
import { parseArgs } from 'node:util';
import { DescribeExecutionCommand, SFNClient, StartExecutionCommand } from '@aws-sdk/client-sfn';
import { deployStack } from '../local/deploy.ts';
import { interruptible } from '../local/interrupt.ts';
import { startStack } from '../local/stack.ts';
import { makeStores } from './bench-target.ts';
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
    const deployment = { stackName: 'NgbakBench', removal: 'destroy', targets: { default: { stores } } };
    const outputs = await deployStack(stack.aws, {
      stackName: deployment.stackName,
      context: { ngbak: deployment },
      folder: stack.folder,
      signal,
      onProgress: (text) => console.error(text),
    });
    const sfn = new SFNClient({});
    const seconds: number[] = [];
    // The first run starts every function's process: a cold start in AWS.
    for (let run = 0; run <= Number(values.runs); run++) {
      const { executionArn } = await sfn.send(
        new StartExecutionCommand({ stateMachineArn: outputs.BackupStateMachineArn, input: '{}' }),
      );
      for (;;) {
        const execution = await sfn.send(new DescribeExecutionCommand({ executionArn }));
        if (execution.status === 'RUNNING') {
          await new Promise((resolve) => setTimeout(resolve, 100));
          continue;
        }
        if (execution.status !== 'SUCCEEDED') throw new Error(execution.cause ?? execution.status);
        // Backup ids contain the second of the start, so two may not start in the same second.
        await new Promise((resolve) => setTimeout(resolve, 1000));
        seconds.push((Number(execution.stopDate) - Number(execution.startDate)) / 1000);
        break;
      }
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
