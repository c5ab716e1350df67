import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT } from '../folders.ts';
import { installMinistack } from '../install/python.ts';
import { type AwsAddress, expectOk, installContext, type ServiceContext, startServer } from './service.ts';

/** The emulator has one account, unless the access key is a number of twelve digits. */
const ACCOUNT_ID = '000000000000';
const REGION = 'us-east-1';

/** The address of an emulator, and the environment that makes SDKs and CLIs use only it, in one region. */
export function emulatorAddress(endpoint: string, region = REGION): AwsAddress {
  return {
    endpoint,
    region,
    accountId: ACCOUNT_ID,
    env: {
      AWS_ENDPOINT_URL: endpoint,
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
      AWS_REGION: region,
      AWS_DEFAULT_REGION: region,
      AWS_EC2_METADATA_DISABLED: 'true',
      CDK_DEFAULT_ACCOUNT: ACCOUNT_ID,
      CDK_DEFAULT_REGION: region,
    },
  };
}

/**
 * The variables of this environment that the emulator, and so every function, gets: those for network access, and
 * none that a function could depend on here but would not have on AWS.
 */
const INHERITED = [
  'PATH',
  'HOME',
  'LANG',
  'LC_ALL',
  'NODE_EXTRA_CA_CERTS',
  'SSL_CERT_FILE',
  'NO_PROXY',
  'no_proxy',
  // For the emulator: a factor for the waits of state machines, including their backoffs.
  'SFN_WAIT_SCALE',
  // For our corrections: the maximum memory of a function, and whether Node is started as on Lambda.
  'EMULATOR_MEMORY_MAX',
  'EMULATOR_NODE_COMMAND_LINE',
];

/** Starts the AWS emulator on this port of 127.0.0.1. It runs functions as processes of this machine's Node 24. */
export async function startAws(context: ServiceContext, port: number): Promise<AwsAddress> {
  const packages = await installMinistack(installContext('aws', context));
  const temporary = join(context.folder, 'tmp');
  await mkdir(temporary, { recursive: true });
  // Its workers are CommonJS files in this folder, and our own package.json further up declares .js files as modules.
  await writeFile(join(temporary, 'package.json'), '{"type":"commonjs"}');
  const address = emulatorAddress(`http://127.0.0.1:${port}`);
  const environment = Object.fromEntries(INHERITED.map((name) => [name, context.environment[name]]));
  await startServer(
    'aws',
    { ...context, environment },
    {
      command: 'python3',
      args: [join(ROOT, 'local/emulator/launch.py')],
      env: {
        // 127.0.0.1 instead of localhost, so that the SDKs put the bucket into the path and not into the host name.
        BIND_HOST: '127.0.0.1',
        GATEWAY_PORT: String(port),
        MINISTACK_REGION: REGION,
        SFTP_ENABLED: '0',
        IOT_MTLS_ENABLED: '0',
        PYTHONPATH: packages,
        PYTHONUNBUFFERED: '1',
        PYTHONDONTWRITEBYTECODE: '1',
        // The CDK's custom-resource functions expect the SDK of Lambda's runtime.
        NODE_PATH: join(ROOT, 'node_modules'),
        PATH: `${join(ROOT, 'node_modules/.bin')}:${context.environment.PATH ?? ''}`,
        // It leaves a folder for each function, which is removed with the stack's folder.
        TMPDIR: temporary,
        STATE_DIR: join(temporary, 'state'),
        RECORDED_CALLS: recordedCallsOf(context),
        ...address.env,
      },
      check: () => checkAws(address),
    },
  );
  return address;
}

/** The file in which an emulator records the calls of functions. */
export const recordedCallsOf = ({ folder }: { readonly folder: string }) =>
  join(folder, 'recorded-calls.jsonl');

/** Throws unless the emulator is ready. */
export async function checkAws({ endpoint }: AwsAddress): Promise<void> {
  await expectOk(`${endpoint}/_ministack/ready`);
}
