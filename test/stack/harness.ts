import { GetObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { PutSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { SFNClient, StartExecutionCommand } from '@aws-sdk/client-sfn';
import { Bucket } from '../../shared/aws/bucket.ts';
import { awsClient } from '../../shared/aws/clients.ts';
import { hasEnded } from '../../shared/core/job-state.ts';
import type { Role } from '../../shared/core/roles.ts';
import { type JobRecord, readJob } from '../../shared/workflows/job/record.ts';
import { createRestoreRequest } from '../../shared/workflows/restore/request.ts';
import { servers } from '../servers.ts';
import { untilEnded } from '../support/aws.ts';
import { until } from '../support/until.ts';

/** Timeout of a test for a workflow, in milliseconds: a deadline for hangs, not an assertion on speed. */
const DEADLINE_MS = 300_000;
/** Interval between two looks at a job that only passes through a state, in milliseconds. */
const POLL_MS = 200;

const isOver = ({ state }: JobRecord) => hasEnded(state);

/** The outputs of the stack that test/run.ts deployed. */
function testOutputs(): Record<string, string> {
  const text = process.env.NGBAK_TEST_OUTPUTS;
  if (!text)
    throw new Error('NGBAK_TEST_OUTPUTS is not set: run these tests by `npm test`, which deploys the stack.');
  return JSON.parse(text) as Record<string, string>;
}

/** A deployed stack: its outputs, and clients for it. By default, the one that test/run.ts deployed. */
export function deployedStack(outputs = testOutputs(), region = process.env.AWS_REGION ?? '') {
  const output = (name: string): string => {
    const value = outputs[name];
    if (value === undefined) throw new Error(`The stack has no output ${name}.`);
    return value;
  };
  /** A key of the HTTP API; test/run.ts created one of each role. */
  const apiKey = (role: Role): string =>
    (JSON.parse(process.env.NGBAK_TEST_KEYS ?? '{}') as Record<Role, string>)[role];
  /** The credentials of a user with the policy that the stack publishes for operators, and no other. */
  const operator = (): Record<string, string> => JSON.parse(process.env.NGBAK_TEST_OPERATOR ?? '{}');
  /** Address of the HTTP API and the dashboard, without a trailing slash: the emulator serves them at other paths. */
  const apiUrl = (): string => {
    const id = new URL(output('ApiUrl')).hostname.split('.')[0];
    return `${servers.aws.endpoint}/_aws/execute-api/${id}/$default`;
  };
  const sfn = new SFNClient({ region });
  const { BucketPrefix } = outputs;
  const place = `${output('BucketName')}${BucketPrefix === undefined ? '' : `/${BucketPrefix}`}`;
  const bucket = new Bucket(place, awsClient('s3', S3Client, { region }));
  const secrets = new SecretsManagerClient({ region });

  /** Starts a workflow; its name is the job ID, unless the input states another. */
  async function start(machine: 'Backup' | 'Restore', input: object, name?: string) {
    const { executionArn = '' } = await sfn.send(
      new StartExecutionCommand({
        stateMachineArn: output(`${machine}StateMachineArn`),
        input: JSON.stringify(input),
        ...(name === undefined ? {} : { name }),
      }),
    );
    return { executionArn, name: executionArn.split(':').at(-1) ?? '' };
  }

  /** Starts a workflow and waits for its end. */
  async function run(machine: 'Backup' | 'Restore', input: object, name?: string) {
    return waitForExecution((await start(machine, input, name)).executionArn);
  }

  const waitForExecution = (executionArn: string) =>
    untilEnded(sfn, executionArn, { deadlineMs: DEADLINE_MS });

  /** Waits until the job's record has one of these states; by default, until the job has ended. */
  async function waitForJob(jobId: string, holds: (job: JobRecord) => boolean = isOver): Promise<JobRecord> {
    return until(`the job ${jobId} is in the expected state`, () => readJob(bucket, jobId), {
      holds: (job): job is JobRecord => job !== undefined && holds(job),
      deadlineMs: DEADLINE_MS,
      // A state that the job only passes through would be missed.
      ...(holds === isOver ? {} : { pauseMs: POLL_MS }),
    });
  }

  /** Every key below a prefix. */
  async function keys(prefix = ''): Promise<string[]> {
    const all: string[] = [];
    for await (const { key } of bucket.keys(prefix)) all.push(key);
    return all;
  }

  /** Uploads an archive to a presigned URL and waits for the end of the restore that this starts. */
  async function restoreByUpload(
    target: string,
    archive: Uint8Array,
    options: Parameters<typeof createRestoreRequest>[1]['options'] = {},
  ): Promise<JobRecord> {
    const upload = await createRestoreRequest(bucket, {
      target,
      fileName: 'test.ngbak',
      options,
      confirm: target,
    });
    const answer = await fetch(upload.put.url, {
      method: upload.put.method,
      headers: upload.put.headers,
      body: archive as BodyInit,
    });
    if (!answer.ok) throw new Error(`Upload refused: ${answer.status} ${await answer.text()}`);
    return waitForJob(upload.job_id);
  }

  /** The bytes of a catalogued archive. */
  async function download(backupId: string): Promise<Uint8Array> {
    const { Body } = await bucket.s3.send(
      new GetObjectCommand({ Bucket: bucket.name, Key: `backups/${backupId}.ngbak` }),
    );
    if (!Body) throw new Error(`${backupId} has no content.`);
    return Body.transformToByteArray();
  }

  async function putSecret(id: string, value: object): Promise<void> {
    await secrets.send(new PutSecretValueCommand({ SecretId: id, SecretString: JSON.stringify(value) }));
  }

  return {
    output,
    apiKey,
    operator,
    apiUrl,
    bucket,
    sfn,
    start,
    run,
    waitForExecution,
    waitForJob,
    keys,
    restoreByUpload,
    download,
    putSecret,
  };
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
