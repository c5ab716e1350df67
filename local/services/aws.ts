import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT } from '../folders.ts';
import { installMinistack } from '../install/python.ts';
import { type AwsAddress, expectOk, installContext, type ServiceContext, startServer } from './service.ts';

/** The emulator knows one account, unless the access key is a number of twelve digits. */
const ACCOUNT_ID = '000000000000';
const REGION = 'us-east-1';

/** The address of an emulator, and the environment that leads SDKs and CLIs there and nowhere else. */
export function emulatorAddress(endpoint: string): AwsAddress {
  return {
    endpoint,
    region: REGION,
    accountId: ACCOUNT_ID,
    env: {
      AWS_ENDPOINT_URL: endpoint,
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
      AWS_REGION: REGION,
      AWS_DEFAULT_REGION: REGION,
      AWS_EC2_METADATA_DISABLED: 'true',
      CDK_DEFAULT_ACCOUNT: ACCOUNT_ID,
      CDK_DEFAULT_REGION: REGION,
    },
  };
}

/**
 * What the emulator, and so every function, sees of this environment: what reaches the network needs, and nothing that
 * a function could come to depend on here and would miss on AWS.
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
  // Of the emulator: a factor for the waits of state machines, their back-offs included.
  'SFN_WAIT_SCALE',
  // Of our corrections: the most memory that a function may have, and whether Node is started as on Lambda.
  'EMULATOR_MEMORY_MAX',
  'EMULATOR_NODE_COMMAND_LINE',
];

/** Starts the AWS emulator on that port of 127.0.0.1. Functions run in it as processes of this machine's Node 24. */
export async function startAws(context: ServiceContext, port: number): Promise<AwsAddress> {
  const packages = await installMinistack(installContext('aws', context));
  const temporary = join(context.folder, 'tmp');
  await mkdir(temporary, { recursive: true });
  // Its workers are CommonJS files in there, below our own package.json, which says that .js files are modules.
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
        // 127.0.0.1 and not localhost: the SDKs then put the bucket into the path and not into the host name.
        BIND_HOST: '127.0.0.1',
        GATEWAY_PORT: String(port),
        MINISTACK_REGION: REGION,
        SFTP_ENABLED: '0',
        IOT_MTLS_ENABLED: '0',
        PYTHONPATH: packages,
        PYTHONUNBUFFERED: '1',
        PYTHONDONTWRITEBYTECODE: '1',
        // The CDK's own custom-resource functions expect the SDK of Lambda's runtime.
        NODE_PATH: join(ROOT, 'node_modules'),
        PATH: `${join(ROOT, 'node_modules/.bin')}:${context.environment.PATH ?? ''}`,
        // It leaves a folder for each function: they go with the stack's.
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
