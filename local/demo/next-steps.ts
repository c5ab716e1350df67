import pc from 'picocolors';
import type { Stack } from '../stack.ts';

/** What `--keep` prints: how to reach everything, and how to do it all again with the AWS CLI. */
export function nextSteps(
  stack: Pick<Stack, 'name' | 'aws' | 'logs'>,
  outputs: Readonly<Record<string, string>>,
  backupId: string,
): string {
  const environment = Object.entries(stack.aws.env)
    .filter(([name]) => name.startsWith('AWS_'))
    .map(([name, value]) => `export ${name}=${value}`);
  const bucket = outputs.BucketName ?? '';
  return `
${pc.bold('Everything is still running.')} In another terminal (pip install awscli):

${environment.join('\n')}

${pc.dim('# back up')}
aws stepfunctions start-execution --state-machine-arn ${outputs.BackupStateMachineArn} --input '{}'
${pc.dim('# see, download, share')}
aws s3 ls s3://${bucket}/backups/
aws s3 cp s3://${bucket}/backups/${backupId}.ngbak .
aws s3 presign s3://${bucket}/backups/${backupId}.ngbak --expires-in 3600
${pc.dim('# restore from the catalog')}
aws stepfunctions start-execution --state-machine-arn ${outputs.RestoreStateMachineArn} \\
  --input '{"backup_id":"${backupId}","confirm":"default"}'
${pc.dim('# or by an upload, which waits for your confirmation')}
aws s3 cp ${backupId}.ngbak s3://${bucket}/uploads/default/${backupId}.ngbak

Logs      ${stack.logs}
Status    npm run local:status -- --name ${stack.name}
Stop      npm run local:down -- --name ${stack.name}
`;
}
