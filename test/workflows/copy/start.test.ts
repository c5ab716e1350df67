/** How copies are started, once for each attempt. */
import { randomBytes } from 'node:crypto';
import {
  CreateStateMachineCommand,
  DeleteStateMachineCommand,
  DescribeExecutionCommand,
  ListExecutionsCommand,
} from '@aws-sdk/client-sfn';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { catalogKey } from '../../../shared/aws/keys.ts';
import { CatalogRecord } from '../../../shared/catalog/record.ts';
import { CopiesConfig } from '../../../shared/core/copies.ts';
import { pendingCopy, updateCopy } from '../../../shared/workflows/copy/progress.ts';
import { startDueCopies } from '../../../shared/workflows/copy/start.ts';
import type { Environment } from '../../../shared/workflows/environment.ts';
import { freshEnvironment, untilEnded, waitingMachine } from '../../support/aws.ts';
import { catalogue } from '../../support/catalog.ts';

const leg = { timeLeft: () => 60_000 };
const copies = CopiesConfig.parse({ vault: { bucket: 'the-vault' } });
const id = `b-${randomBytes(4).toString('hex')}`;
let environment: Environment;
let waiting: Awaited<ReturnType<typeof waitingMachine>>;
let ended: string;

beforeAll(async () => {
  const { sfn, ...fresh } = await freshEnvironment();
  waiting = await waitingMachine(sfn);
  const { stateMachineArn = '' } = await sfn.send(
    new CreateStateMachineCommand({
      name: `ended-${randomBytes(4).toString('hex')}`,
      roleArn: 'arn:aws:iam::000000000000:role/test',
      definition: JSON.stringify({ StartAt: 'End', States: { End: { Type: 'Pass', End: true } } }),
    }),
  );
  ended = stateMachineArn;
  environment = { ...fresh, sfn, config: { ...fresh.config, copies }, copyMachine: waiting.stateMachineArn };
  const [vault] = Object.values(copies);
  if (!vault) throw new Error('no copy');
  await catalogue(environment.bucket, { backup_id: id, copies: [pendingCopy('vault', vault, new Date())] });
});
afterAll(async () => {
  await waiting.remove();
  await environment.sfn.send(new DeleteStateMachineCommand({ stateMachineArn: ended }));
});

const state = async () =>
  (await environment.bucket.requireRecord(catalogKey(id), CatalogRecord, '')).copies?.[0];

const executionOf = (name: string) => `${ended.replace(':stateMachine:', ':execution:')}:${name}`;

test('without the workflow, or without copies, nothing is started', async () => {
  expect(await startDueCopies({ ...environment, copyMachine: undefined }, leg)).toEqual([]);
  expect(
    await startDueCopies({ ...environment, config: { ...environment.config, copies: undefined } }, leg),
  ).toEqual([]);
});

test('an attempt that is running is not started a second time, nor taken for a failed one', async () => {
  expect(await startDueCopies(environment, leg)).toEqual([`copy_${id}_vault_0`]);
  expect(await startDueCopies(environment, leg)).toEqual([]);
  expect(await state()).toMatchObject({ state: 'pending' });
});

test('an attempt that ended without a result is reported as failed, and the next one has another name', async () => {
  const others = { ...environment, copyMachine: ended };
  expect(await startDueCopies(others, leg)).toEqual([`copy_${id}_vault_0`]);
  await untilEnded(environment.sfn, executionOf(`copy_${id}_vault_0`));
  const logged: unknown[] = [];
  expect(await startDueCopies({ ...others, log: (...all) => logged.push(all) }, leg)).toEqual([]);
  expect(logged).toEqual([]);
  // Another execution records it: the janitor may not change catalog records.
  const { executions = [] } = await environment.sfn.send(
    new ListExecutionsCommand({ stateMachineArn: ended }),
  );
  const recording = executions.find(({ name }) => name?.includes('_vault_ended_'));
  const { executionArn } = recording ?? {};
  const { input = '' } = await environment.sfn.send(new DescribeExecutionCommand({ executionArn }));
  expect(JSON.parse(input)).toEqual({
    ...{ backup_id: id, copy: 'vault', attempt: 0 },
    failure: {
      error: 'ExecutionEnded',
      cause: `The attempt copy_${id}_vault_0 ended without a result (SUCCEEDED).`,
    },
  });
  await updateCopy(environment.bucket, id, 'vault', (copy) => copy && { ...copy, attempts: 1 });
  expect(await startDueCopies(others, leg)).toEqual([`copy_${id}_vault_1`]);
});
