import pc from '../../shared/core/colors.ts';
import type { Stack } from '../stack.ts';

/** The output of `--keep`: how to repeat the steps with the ngbak command and with the AWS CLI. */
export function nextSteps(
  stack: Pick<Stack, 'aws'>,
  outputs: Readonly<Record<string, string>>,
  backupId: string,
): string {
  const environment = Object.entries(stack.aws.env)
    .filter(([name]) => name.startsWith('AWS_'))
    .map(([name, value]) => `export ${name}=${value}`);
  const bucket = outputs.BucketName ?? '';
  return `
${pc.bold('Everything is still running.')} In another terminal:

${environment.join('\n')}

${pc.dim('# by the ngbak command')}
npm run ngbak -- list
npm run ngbak -- backup
npm run ngbak -- restore ${backupId}

${pc.dim('# or by the AWS CLI (pip install awscli), one job after the other: back up, and follow it')}
aws stepfunctions start-execution --state-machine-arn ${outputs.BackupStateMachineArn} --input '{}'
aws stepfunctions list-executions --state-machine-arn ${outputs.BackupStateMachineArn}
${pc.dim('# look, download, share')}
aws s3 ls s3://${bucket}/backups/
aws s3 cp s3://${bucket}/backups/${backupId}.ngbak .
aws s3 presign s3://${bucket}/backups/${backupId}.ngbak --expires-in 3600
${pc.dim('# restore from the catalog')}
aws stepfunctions start-execution --state-machine-arn ${outputs.RestoreStateMachineArn} \\
  --input '{"backup_id":"${backupId}","confirm":"default"}'
${pc.dim('# or by an upload, which waits for confirmation')}
aws s3 cp ${backupId}.ngbak s3://${bucket}/uploads/default/
npm run ngbak -- jobs
npm run ngbak -- confirm JOB default
`;
}
