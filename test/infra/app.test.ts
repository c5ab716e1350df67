import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { FUNCTION_NAMES } from '../../infra/functions.ts';
import { DEPLOYMENT } from './template.ts';
import { MOUNTED, VARIANTS } from './variants.ts';

/** Timeout of all syntheses on a busy machine, in milliseconds: a deadline for hangs. */

const ROOT = join(import.meta.dirname, '..', '..');

let outdir: string;
let apps: Record<string, { code: number; stderr: string }>;

beforeAll(async () => {
  outdir = await mkdtemp(join(tmpdir(), 'ngbak-app-'));
  const cdkJson = JSON.parse(await readFile(join(ROOT, 'cdk.json'), 'utf8')) as { context: object };
  const contexts = Object.entries(CONTEXTS).map(([name, context]) => [
    name,
    { ...cdkJson.context, ...context },
  ]);
  const program = join(import.meta.dirname, 'synthesize-apps.ts');
  const { code, stdout, stderr } = await run(
    ['--disable-warning=ExperimentalWarning', program, outdir, JSON.stringify(Object.fromEntries(contexts))],
    { HOME: outdir },
  );
  expect([code, stderr]).toEqual([0, '']);
  apps = JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
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

const VAULT = {
  source: { account: '111122223333' },
  lock: { mode: 'compliance', days: 30 },
  keepDays: 90,
  readers: ['arn:aws:iam::111122223333:role/Recovery'],
};

/** The apps that are synthesized, with the checks of cdk-nag, by what they replace in the context of cdk.json. */
const CONTEXTS = {
  default: {},
  everything: {
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
      ...MOUNTED,
      reservedConcurrency: 5,
      legSeconds: 30,
      alarms: { topicArns: ['arn:aws:sns:eu-central-1:111122223333:on-call'] },
      allowedOrigins: ['https://ops.example.com'],
      accessLogs: { bucket: 'central-logs' },
      signatures: { required: true },
      ...VARIANTS['copies in other buckets'],
      tags: { team: 'search' },
    },
  },
  vault: { vault: JSON.stringify(VAULT) },
  'no-vault': { vault: JSON.stringify({ ...VAULT, keepDays: 7 }) },
  wrong: { ngbak: { ...DEPLOYMENT, removal: 'sometimes' } },
};

test('the app in cdk.json passes every check of cdk-nag, and each accepted finding has a reason', async () => {
  expect(apps.default).toEqual({ code: 0, stderr: '' });
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
});

test('all options at once pass them too', async () => {
  expect(apps.everything).toEqual({ code: 0, stderr: '' });
  const template = await readFile(join(outdir, 'everything', 'Ngbak.template.json'), 'utf8');
  expect(template).toContain('fsap-0a1b2c3d4e5f60718');
});

test('with the context key "vault", the app consists of a vault alone, and passes them as well', async () => {
  expect(apps.vault).toEqual({ code: 0, stderr: '' });
  const files = await readdir(join(outdir, 'vault'));
  expect(files.filter((name) => /template|functions/.test(name))).toEqual(['NgbakVault.template.json']);
  expect(apps['no-vault']).toEqual({ code: 1, stderr: expect.stringContaining('vault.keepDays') });
});

test('an invalid configuration ends the app with what is wrong and what to do, without a stack trace', () => {
  const { code, stderr = '' } = apps.wrong ?? {};
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
      const { handler } = await import(process.argv[1] + '/' + name + '.mjs');
      await handler({}, context).catch((error) => { thrown[name] = error.name; });
    }
    console.log(JSON.stringify(thrown));`;

  test('loads from its bundle alone, rejects an invalid event by name and logs where', async () => {
    // Files of bundles that have the same name have the same content. In one folder, Node compiles each of them once. It
    // is outside of the checkout: nothing can be loaded from its node_modules.
    const together = await mkdtemp(join(outdir, 'together-'));
    const contents = new Map<string, string>();
    for (const name of FUNCTION_NAMES) {
      const bundle = join(outdir, 'default', 'functions', name);
      const files = (await readdir(bundle)).filter((file) => file.endsWith('.mjs'));
      for (const file of files) {
        const code = await readFile(join(bundle, file), 'utf8');
        for (const [, path = ''] of code.matchAll(/(?:from|import)\s*\(?"\.\/([^"]+)"/g)) {
          expect({ name, file, imports: files }).toEqual({
            name,
            file,
            imports: expect.arrayContaining([path]),
          });
        }
        const to = file === 'index.mjs' ? `${name}.mjs` : file;
        expect({ file: to, same: (contents.get(to) ?? code) === code }).toEqual({ file: to, same: true });
        contents.set(to, code);
      }
    }
    for (const [file, code] of contents) await writeFile(join(together, file), code);
    const { code, stdout, stderr } = await run(
      ['--input-type=module', '--eval', CALL, together, ...FUNCTION_NAMES],
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
      expect(code.length).toBeLessThan(3.4 * 1024 ** 2);
      // A class of undici, ioredis and rxjs, which the Neo4j driver needs, and a message of pg.
      const classes =
        /HTTPParserError|MaxRetriesPerRequestError|UnsubscriptionError|SCRAM-SERVER-FIRST-MESSAGE/g;
      expect([name, code.match(classes)]).toEqual([name, null]);
    }
  });
});
