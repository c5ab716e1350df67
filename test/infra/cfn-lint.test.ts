import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { installCfnLint } from '../../local/install/python.ts';
import { NIGHTLY } from '../nightly.ts';
import { synthesize, synthesizeVault } from './template.ts';
import { VARIANTS } from './variants.ts';

/** Longest that the installation may take. */
const INSTALL_MS = 300_000;
/** The CDK adds each function's role to `DependsOn`, although the function refers to it anyway. */
const ACCEPTED = ['W3005'];

interface Finding {
  readonly Filename: string;
  readonly Level: string;
  readonly Message: string;
  readonly Rule: { readonly Id: string };
}

let folder: string;
let packages: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ngbak-cfn-lint-'));
  packages = await installCfnLint({
    environment: process.env,
    signal: new AbortController().signal,
    log: join(folder, 'install.log'),
    onInstall: () => undefined,
  });
}, INSTALL_MS);

afterAll(() => rm(folder, { recursive: true, force: true }));

/**
 * The findings of cfn-lint in templates, by name: in one process, since reading the schemas of resources takes seconds.
 */
async function lint(templates: Readonly<Record<string, object>>): Promise<Record<string, string[]>> {
  const names = Object.keys(templates);
  const files = names.map((_, index) => join(folder, `${index}.template.json`));
  for (const [index, file] of files.entries()) {
    await writeFile(file, JSON.stringify(templates[names[index] ?? '']));
  }
  const program = 'from cfnlint.runner import main; main()';
  const args = ['-c', program, '--format', 'json', '--regions', 'eu-central-1'];
  const found = await new Promise<Finding[]>((resolve, reject) => {
    execFile(
      'python3',
      [...args, '--ignore-checks', ...ACCEPTED, '--', ...files],
      {
        env: { ...process.env, PYTHONPATH: packages, PYTHONDONTWRITEBYTECODE: '1' },
        maxBuffer: 64 * 1024 * 1024,
      },
      (_, stdout, stderr) => {
        // It exits with a non-zero code if it finds something.
        if (stdout.trim() === '') reject(new Error(stderr));
        else resolve(JSON.parse(stdout) as Finding[]);
      },
    );
  });
  return Object.fromEntries(
    names.map((name, index) => [
      name,
      found
        .filter(({ Filename }) => Filename === files[index])
        .map(({ Rule, Level, Message }) => `${Level} ${Rule.Id}: ${Message}`),
    ]),
  );
}

/** Except in the nightly run, only the template of the default deployment: cfn-lint takes seconds for each. */
const LINTED = Object.entries(VARIANTS).slice(0, NIGHTLY ? undefined : 1);

test('cfn-lint finds no faults in the templates, and finds faults injected into a function and a state machine', async () => {
  const broken = {
    Resources: {
      Function: {
        Type: 'AWS::Lambda::Function',
        Properties: { Runtime: 'nodejs12.x', Role: 'role', Handler: 'index.handler', Code: { ZipFile: '' } },
      },
      Machine: {
        Type: 'AWS::StepFunctions::StateMachine',
        Properties: {
          RoleArn: 'arn:aws:iam::111122223333:role/role',
          DefinitionString: '{"StartAt":"Nowhere","States":{"Somewhere":{"Type":"Task","End":true}}}',
        },
      },
    },
  };
  const vault = synthesizeVault({
    source: { account: '111122223333' },
    lock: { mode: 'governance', days: 1 },
    keepDays: 1,
    readers: ['arn:aws:iam::111122223333:role/Recovery'],
  });
  const templates = [
    ...LINTED.map(([name, overrides]) => [name, synthesize(overrides).toJSON()] as const),
    ['a vault', vault.toJSON()] as const,
  ];
  const found = await lint({ ...Object.fromEntries(templates), broken });
  const expected = templates.map(([name]) => [name, []]);
  expect(found).toEqual({ ...Object.fromEntries(expected), broken: expect.anything() });
  const all = found.broken?.join('\n');
  for (const problem of ['nodejs12.x', 'Nowhere', "'Resource' is a required property"]) {
    expect(all).toContain(problem);
  }
});
