import { InvalidInputError } from '../shared/core/errors.ts';
import type { OperationsContext } from '../shared/operations/context.ts';
import { operationsContext } from '../shared/operations/context.ts';
import type { Settings } from './settings.ts';

/** Outputs of the stack that direct mode needs. */
const OUTPUTS = ['BucketName', 'BackupStateMachineArn', 'RestoreStateMachineArn'] as const;

/**
 * The context of direct mode: the settings, completed from the outputs of the CloudFormation stack. Throws
 * InvalidInputError that names what is missing.
 */
export async function discoverContext(settings: Settings): Promise<OperationsContext> {
  const { bucket, backup_state_machine_arn, restore_state_machine_arn, stack } = settings;
  const known = bucket && backup_state_machine_arn && restore_state_machine_arn;
  const outputs = known ? {} : await readOutputs(stack);
  const need = (value: string | undefined, output: (typeof OUTPUTS)[number]): string => {
    const found = value ?? outputs[output];
    if (found !== undefined) return found;
    throw new InvalidInputError(`Stack ${stack} has no output ${output}.`, {
      remedy: 'Give the name of the stack of ngbak: `--stack NAME`, or NGBAK_STACK.',
    });
  };
  const prefix =
    bucket === undefined && outputs.BucketPrefix ? `/${outputs.BucketPrefix.replace(/\/$/, '')}` : '';
  const group = settings.schedule_group ?? outputs.ScheduleGroupName;
  const roleArn = settings.schedule_role_arn ?? outputs.ScheduleRoleArn;
  return operationsContext({
    bucket: `${need(bucket, 'BucketName')}${prefix}`,
    stateMachines: {
      backup: need(backup_state_machine_arn, 'BackupStateMachineArn'),
      restore: need(restore_state_machine_arn, 'RestoreStateMachineArn'),
    },
    ...(outputs.UploadBytesMax === undefined ? {} : { uploadBytesMax: Number(outputs.UploadBytesMax) }),
    ...(outputs.SigningKeyArn === undefined ? {} : { signingKeyArn: outputs.SigningKeyArn }),
    ...(group && roleArn ? { schedules: { group, roleArn } } : {}),
  });
}

/** Outputs of the CloudFormation stack. Throws InvalidInputError if there is no such stack. */
export async function readOutputs(stack: string): Promise<Partial<Record<string, string>>> {
  // Imported on demand: it is the slowest client to load.
  const { CloudFormationClient, CloudFormationServiceException, DescribeStacksCommand } = await import(
    '@aws-sdk/client-cloudformation'
  );
  try {
    const { Stacks } = await new CloudFormationClient({}).send(
      new DescribeStacksCommand({ StackName: stack }),
    );
    return Object.fromEntries(
      (Stacks?.[0]?.Outputs ?? []).map(({ OutputKey, OutputValue }) => [OutputKey, OutputValue]),
    );
  } catch (cause) {
    if (!(cause instanceof CloudFormationServiceException) || cause.name !== 'ValidationError') throw cause;
    throw new InvalidInputError(`There is no CloudFormation stack "${stack}" in this account and region.`, {
      remedy:
        'Check AWS_PROFILE and AWS_REGION, or give the location of ngbak: `--stack NAME`, or NGBAK_BUCKET, NGBAK_BACKUP_STATE_MACHINE_ARN and NGBAK_RESTORE_STATE_MACHINE_ARN.',
      cause,
    });
  }
}
