import { DescribeStateMachineCommand } from '@aws-sdk/client-sfn';
import { z } from 'zod';
import { catalogIds, readCatalog } from '../catalog/read.ts';
import { describeError } from '../errors.ts';
import type { OperationsContext } from './context.ts';

/** A good backup older than this makes a deployment `degraded`, in hours: the default schedule is daily. */
const BACKUP_AGE_HOURS_MAX = 48;

export const Health = z.object({
  status: z.enum(['ok', 'degraded']),
  checks: z.array(z.object({ name: z.string(), ok: z.boolean(), message: z.string() })),
});
export type Health = z.infer<typeof Health>;

/** Whether bucket and workflows answer, and how old the newest verified backup is. Never throws for what it checks. */
export async function checkHealth(context: OperationsContext): Promise<Health> {
  const { sfn, stateMachines } = context;
  const machine = async (arn: string) => {
    const { status } = await sfn.send(new DescribeStateMachineCommand({ stateMachineArn: arn }));
    if (status !== 'ACTIVE') throw new Error(`${arn} is ${status}.`);
    return 'active';
  };
  const checks = await Promise.all([
    check('bucket and newest backup', () => newestBackup(context)),
    check('backup workflow', () => machine(stateMachines.backup)),
    check('restore workflow', () => machine(stateMachines.restore)),
  ]);
  return { status: checks.every(({ ok }) => ok) ? 'ok' : 'degraded', checks };
}

async function check(name: string, look: () => Promise<string>): Promise<Health['checks'][number]> {
  try {
    return { name, ok: true, message: await look() };
  } catch (error) {
    return { name, ok: false, message: describeError(error) };
  }
}

async function newestBackup({ bucket }: OperationsContext): Promise<string> {
  for await (const { record } of readCatalog(bucket, await catalogIds(bucket))) {
    if (record?.verification.state !== 'verified') continue;
    const hours = (Date.now() - Date.parse(record.created_at)) / 3_600_000;
    const told = `${record.backup_id}, ${Math.round(hours)} hours old`;
    if (hours > BACKUP_AGE_HOURS_MAX) throw new Error(`The newest verified backup is ${told}.`);
    return told;
  }
  throw new Error('There is no verified backup yet.');
}
