import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { FUNCTION_NAMES } from '../../infra/functions.ts';
import { DEPLOYMENT } from './template.ts';
import { VARIANTS } from './variants.ts';

/** Timeout of a synthesis on a busy machine, in milliseconds: a deadline for hangs. */
const DEADLINE_MS = 300_000;

const ROOT = join(import.meta.dirname, '..', '..');

let outdir: string;

beforeAll(async () => {
  outdir = await mkdtemp(join(tmpdir(), 'ngbak-app-'));
});

afterAll(() => rm(outdir, { recursive: true, force: true }));

/** Runs a program as the CDK CLI or Lambda would: in a separate process. */
function run(
  args: string[],
  env: Record<string, string>,
): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      args,
      { cwd: ROOT, env: { ...process.env, ...env }, maxBuffer: 64 * 1024 * 1024 },
      (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
      },
    );
  });
}

/** Synthesizes with the app itself, with the checks of cdk-nag, into a folder below `outdir`. */
async function synthesize(name: string, context: object) {
  const folder = join(outdir, name);
  const cdkJson = JSON.parse(await readFile(join(ROOT, 'cdk.json'), 'utf8')) as { context: object };
  return run(['--import', 'tsx', 'infra/app.ts'], {
    CDK_OUTDIR: folder,
    CDK_CONTEXT_JSON: JSON.stringify({ ...cdkJson.context, ...context }),
  });
}

test(
  'the app in cdk.json passes every check of cdk-nag, and each accepted finding has a reason',
  async () => {
    const { code, stderr } = await synthesize('default', {});
    expect([code, stderr]).toEqual([0, '']);
    const template = await readFile(join(outdir, 'default', 'Ngbak.template.json'), 'utf8');
    const { Resources } = JSON.parse(template) as {
      Resources: Record<
        string,
        { Metadata?: { cdk_nag?: { rules_to_suppress: { id: string; reason: string }[] } } }
      >;
    };
    const accepted = Object.values(Resources).flatMap(
      ({ Metadata }) => Metadata?.cdk_nag?.rules_to_suppress ?? [],
    );
    expect(accepted.length).toBeGreaterThan(0);
    for (const { id, reason } of accepted) expect([id, reason.length > 10]).toEqual([id, true]);
  },
  DEADLINE_MS,
);

test(
  'all options at once pass them too',
  async () => {
    const { code, stderr } = await synthesize('everything', {
      ngbak: {
        ...DEPLOYMENT,
        targets: {
          ...DEPLOYMENT.targets,
          hooked: {
            stores: { kv: { kind: 'files', buckets: ['graphrag-files'] } },
            hooks: {
              pause: { lambda: 'arn:aws:lambda:eu-central-1:111122223333:function:pause' },
              resume: { url: 'https://example.com/resume', secret: 'team/webhook' },
            },
          },
        },
        network: {
          vpcId: 'vpc-0a1b2c3d',
          subnetIds: ['subnet-0a1b2c3d'],
          securityGroupIds: ['sg-0a1b2c3d'],
        },
        fileSystem: {
          fileSystemId: 'fs-0a1b2c3d',
          accessPointArn:
            'arn:aws:elasticfilesystem:eu-central-1:111122223333:access-point/fsap-0a1b2c3d4e5f60718',
          mountPath: '/mnt/graphrag',
        },
        reservedConcurrency: 5,
        legSeconds: 30,
        alarms: { topicArns: ['arn:aws:sns:eu-central-1:111122223333:on-call'] },
        allowedOrigins: ['https://ops.example.com'],
        accessLogs: { bucket: 'central-logs' },
        signatures: { required: true },
        ...VARIANTS['copies in other buckets'],
        tags: { team: 'search' },
      },
    });
    expect([code, stderr]).toEqual([0, '']);
  },
  DEADLINE_MS,
);

test(
  'with the context key "vault", the app consists of a vault alone, and passes them as well',
  async () => {
    const source = { account: '111122223333' };
    const readers = ['arn:aws:iam::111122223333:role/Recovery'];
    const vault = { source, lock: { mode: 'compliance', days: 30 }, keepDays: 90, readers };
    const { code, stderr } = await synthesize('vault', { vault: JSON.stringify(vault) });
    expect([code, stderr]).toEqual([0, '']);
    const files = await readdir(join(outdir, 'vault'));
    expect(files.filter((name) => /template|functions/.test(name))).toEqual(['NgbakVault.template.json']);
    const refused = await synthesize('no-vault', { vault: JSON.stringify({ ...vault, keepDays: 7 }) });
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('vault.keepDays')]);
  },
  DEADLINE_MS,
);

test('an invalid configuration ends the app with what is wrong and what to do, without a stack trace', async () => {
  const { code, stderr } = await synthesize('wrong', { ngbak: { ...DEPLOYMENT, removal: 'sometimes' } });
  expect(code).toBe(1);
  expect(stderr).toMatch(/ngbak\.removal/);
  expect(stderr).toMatch(/docs\/deploy\.md/);
  expect(stderr).not.toMatch(/\n\s+at /);
});

describe('each function', () => {
  const CALL = `
    const context = { functionName: 'test', awsRequestId: '1', getRemainingTimeInMillis: () => 60_000 };
    const thrown = {};
    for (const name of process.argv.slice(2)) {
      const { handler } = await import(process.argv[1] + '/' + name + '/index.mjs');
      await handler({}, context).catch((error) => { thrown[name] = error.name; });
    }
    console.log(JSON.stringify(thrown));`;

  test('loads from its bundle alone, rejects an invalid event by name and logs where', async () => {
    // The bundles are outside of the checkout: nothing can be loaded from its node_modules.
    const bundles = join(outdir, 'default', 'functions');
    const { code, stdout, stderr } = await run(
      ['--input-type=module', '--eval', CALL, bundles, ...FUNCTION_NAMES],
      {
        NGBAK_BUCKET: 'archive',
        NGBAK_CONFIG: '{"targets":{}}',
        AWS_REGION: 'eu-central-1',
      },
    );
    expect(code).toBe(0);
    expect(JSON.parse(stdout.trim().split('\n').at(-1) ?? '')).toEqual(
      Object.fromEntries(FUNCTION_NAMES.map((name) => [name, 'InvalidInputError'])),
    );
    const logged = stderr.trim().split('\n');
    expect(JSON.parse(logged[0] ?? '')).toMatchObject({
      level: 'ERROR',
      error_name: 'InvalidInputError',
      // Functions keep their names in bundles, so that stack traces are readable without a source map.
      stack: expect.stringContaining('at parseInput ('),
    });
  });

  test('has a small bundle, and compiles the clients of the stores only when it connects', async () => {
    for (const name of FUNCTION_NAMES) {
      const folder = join(outdir, 'default', 'functions', name);
      const files = await readdir(folder);
      expect(files.filter((file) => !file.endsWith('.mjs'))).toEqual(name === 'api' ? ['dashboard'] : []);
      // What Node compiles at a cold start: the entry and its static imports.
      const compiled = new Map<string, string>();
      const pending = ['index.mjs'];
      for (let file = pending.pop(); file !== undefined; file = pending.pop()) {
        if (compiled.has(file)) continue;
        const code = await readFile(join(folder, file), 'utf8');
        compiled.set(file, code);
        pending.push(
          ...Array.from(code.matchAll(/(?:from|^import|;import)"\.\/([^"]+)"/gm), ([, path]) => path ?? ''),
        );
      }
      const code = [...compiled.values()].join('\n');
      expect(code.length).toBeLessThan(3.2 * 1024 ** 2);
      // A class of undici, ioredis and rxjs, which the Neo4j driver needs.
      const classes = /HTTPParserError|MaxRetriesPerRequestError|UnsubscriptionError/g;
      expect([name, code.match(classes)]).toEqual([name, null]);
    }
  });
});
