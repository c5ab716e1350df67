/** Facts about the project that are stated in several places, kept consistent. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { z } from 'zod';
import { NODE_MIN } from '../cli/build.ts';

const ROOT = join(import.meta.dirname, '..');
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');
const folders = (path: string) =>
  readdirSync(join(ROOT, path), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);
const filesOf = (path: string, end: string) =>
  readdirSync(join(ROOT, path), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(end))
    .map((name) => join(path, name));

const WORKFLOWS = filesOf('.github/workflows', '.yml');
const { engines, devDependencies, scripts } = z
  .object({
    engines: z.object({ node: z.string() }),
    devDependencies: z.record(z.string(), z.string()),
    scripts: z.record(z.string(), z.string()),
  })
  .parse(JSON.parse(read('package.json')));

/** The tiers of tests, as package.json, CONTRIBUTING and the workflows name them. */
const TIERS = ['test:quick', 'test:stores', 'test:stack', 'test', 'test:nightly'];

const Step = z.strictObject({
  name: z.string().optional(),
  uses: z.string().optional(),
  with: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).optional(),
  run: z.string().optional(),
  env: z.record(z.string(), z.string()).optional(),
});
/** The part of GitHub's workflow syntax that the workflows here use; anything else is treated as a mistake. */
const Workflow = z.strictObject({
  name: z.string(),
  on: z
    .record(z.enum(['push', 'pull_request', 'workflow_call', 'workflow_dispatch', 'schedule']), z.unknown())
    .refine((on) => Object.keys(on).length > 0),
  permissions: z.strictObject({ contents: z.literal('read') }),
  concurrency: z.strictObject({
    group: z.string(),
    'cancel-in-progress': z.union([z.boolean(), z.string()]),
  }),
  jobs: z.record(
    z.string(),
    z.union([
      z.strictObject({ uses: z.string().startsWith('./.github/workflows/') }),
      z.strictObject({
        name: z.string().optional(),
        needs: z.string().optional(),
        'runs-on': z.string(),
        'timeout-minutes': z.number(),
        environment: z.string().optional(),
        permissions: z.record(z.string(), z.enum(['read', 'write'])).optional(),
        steps: z.array(Step).min(1),
      }),
    ]),
  ),
});

describe('the supported versions of Node', () => {
  const minimum = /^>=(\d+)$/.exec(engines.node)?.[1] ?? '';
  const bundled = devDependencies.node?.split('.')[0] ?? '';

  test.each(['README.md', 'CONTRIBUTING.md', ...filesOf('docs', '.md')])('are the same in %s', (path) => {
    const named = [...read(path).matchAll(/Node (\d+(?:\.\d+)?)(?: or later|\+)/g)].map(
      ([, version]) => version,
    );
    expect(named.filter((version) => version !== minimum && version !== NODE_MIN)).toEqual([]);
  });

  test('are stated in the README and in CONTRIBUTING', () => {
    for (const path of ['README.md', 'CONTRIBUTING.md'])
      expect(read(path)).toContain(`Node ${minimum} or later`);
    expect(read('README.md')).toContain(`Node ${NODE_MIN} or later`);
  });

  test('are what the bootstrap requires and what the workflows use', () => {
    expect(read('local/bootstrap.mjs')).toContain(`const NODE_MAJOR_MIN = ${minimum};`);
    const used = WORKFLOWS.flatMap((path) =>
      [...read(path).matchAll(/node-version: (\S+)/g)].map(([, version]) => version),
    );
    expect(new Set(used)).toEqual(new Set([minimum, bundled]));
  });
});

describe("the README's table of the repository", () => {
  const table = read('README.md').split('## The repository')[1] ?? '';

  test('lists every top-level folder', () => {
    const ignored = read('.gitignore')
      .split('\n')
      .map((line) => line.replace(/\/$/, ''));
    const tracked = folders('.').filter((name) => name !== '.git' && !ignored.includes(name));
    expect(tracked.filter((name) => !table.includes(`| \`${name}/\``))).toEqual([]);
  });

  test('lists every folder of shared/, and none that does not exist', () => {
    const rooms = folders('shared');
    expect(rooms.filter((name) => !table.includes(`| \`shared/${name}/\``))).toEqual([]);
    const listed = [...table.matchAll(/^\| `([\w./-]+)\/`/gm)].map(([, path]) => path ?? '');
    const all = [...folders('.'), ...rooms.map((name) => `shared/${name}`)];
    expect(listed.filter((path) => !all.includes(path))).toEqual([]);
  });
});

describe('the GitHub workflow', () => {
  test.each(WORKFLOWS)('%s is valid, may only read by default, and pins actions by commit', (path) => {
    const workflow = Workflow.parse(parse(read(path)));
    const used = Object.values(workflow.jobs).flatMap((job) => ('steps' in job ? job.steps : []));
    expect(used.filter(({ uses, run }) => (uses === undefined) === (run === undefined))).toEqual([]);
    const unpinned = used.flatMap(({ uses }) =>
      uses && !/^[\w-]+\/[\w/-]+@[0-9a-f]{40}$/.test(uses) ? [uses] : [],
    );
    expect(unpinned).toEqual([]);
    for (const [, version] of read(path).matchAll(/@[0-9a-f]{40}(.*)$/gm))
      expect(version).toMatch(/^ # v\d+\.\d+\.\d+$/);
  });

  test.each(WORKFLOWS)('%s runs npm scripts and files that exist', (path) => {
    const called = [...read(path).matchAll(/npm run ([\w:]+)/g)].map(([, name]) => name ?? '');
    expect(called.filter((name) => !(name in scripts))).toEqual([]);
    const local = [...read(path).matchAll(/uses: \.\/(\S+)/g)].map(([, file]) => file ?? '');
    for (const file of local) expect(read(file)).toBeTruthy();
  });

  test('that releases runs the whole CI first, and only its own job may write', () => {
    const { jobs } = Workflow.parse(parse(read('.github/workflows/release.yml')));
    expect(jobs.ci).toEqual({ uses: './.github/workflows/ci.yml' });
    expect(jobs.release).toMatchObject({
      needs: 'ci',
      permissions: { contents: 'write', 'id-token': 'write' },
    });
    expect(read('.github/workflows/ci.yml')).toContain('run: .ci/run');
  });
});

describe('CONTRIBUTING', () => {
  const text = read('CONTRIBUTING.md');

  test('names files and folders that exist', () => {
    // Added by the example.
    const invented = ['annotate-backups'];
    const named = [...text.matchAll(/`((?:[\w.-]+\/)+[\w.-]*)`/g)].map(([, path]) => path ?? '');
    const wanted = named.filter(
      (path) => path !== 'dist/release' && !invented.some((name) => path.includes(name)),
    );
    expect(wanted.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
    expect(wanted.length).toBeGreaterThan(10);
  });

  test('names every member of the store interface and of the conformance suite', () => {
    const members = (source: string, name: string) => {
      const [, body = ''] =
        new RegExp(`export interface ${name}\\b[^{]*\\{([\\s\\S]*?)\\n\\}`).exec(source) ?? [];
      return [...body.matchAll(/^ {2}(?:readonly )?(\w+)(?=[(:])/gm)].map(([, member]) => member ?? '');
    };
    const port = read('shared/stores/store.ts');
    const suite = read('test/stores/conformance.ts');
    const named = ['Exporter', 'Importer', 'Store', 'StoreAdapter'].flatMap((name) => members(port, name));
    expect(named.length).toBeGreaterThan(20);
    const missing = [
      ...named.filter((member) => !text.includes(`\`${member}\``)),
      ...members(suite, 'Conformance').filter((member) => !new RegExp(`^ +${member}[:,]`, 'm').test(text)),
    ];
    expect(missing).toEqual([]);
  });

  test('shows the example of a store, with its test, exactly as they are compiled and run', () => {
    const shown = [...text.matchAll(/<!-- (\S+\.ts) -->\n```ts\n([\s\S]*?)```\n/g)];
    expect(shown.map(([, path]) => path)).toEqual([
      'test/stores/example/sqlite.ts',
      'test/stores/example.test.ts',
    ]);
    for (const [, path = '', code] of shown) expect(code).toBe(read(path));
    expect(read('test/stores/example/sqlite.ts').split('\n').length).toBeLessThanOrEqual(150);
  });

  test('names every tier of tests', () => {
    for (const tier of TIERS) {
      expect(scripts).toHaveProperty([tier]);
      expect(text).toMatch(new RegExp(`^npm (run )?${tier} `, 'm'));
    }
  });
});

test('decisions are numbered one by one, and named by their numbers', () => {
  const pages = filesOf('docs/adr', '.md').sort();
  const numbers = pages.map((path) => Number(/^# (\d+)\. /.exec(read(path))?.[1]));
  expect(numbers).toEqual(pages.map((_, index) => index + 1));
  const named = pages.map((path) => Number(path.replace('docs/adr/', '').slice(0, 4)));
  expect(named).toEqual(numbers);
});

describe('the issue form', () => {
  const Field = z.discriminatedUnion('type', [
    z.strictObject({ type: z.literal('markdown'), attributes: z.strictObject({ value: z.string() }) }),
    z.strictObject({
      type: z.enum(['input', 'textarea']),
      id: z.string().regex(/^[\w-]+$/),
      attributes: z.strictObject({
        label: z.string(),
        description: z.string().optional(),
        placeholder: z.string().optional(),
        render: z.string().optional(),
      }),
      validations: z.strictObject({ required: z.boolean() }).optional(),
    }),
    z.strictObject({
      type: z.literal('dropdown'),
      id: z.string().regex(/^[\w-]+$/),
      attributes: z.strictObject({ label: z.string(), options: z.array(z.string()).min(2) }),
      validations: z.strictObject({ required: z.boolean() }).optional(),
    }),
  ]);
  const Form = z.strictObject({
    name: z.string().min(4),
    description: z.string().min(1),
    labels: z.array(z.string()),
    body: z.array(Field).min(1),
  });

  test.each(['bug', 'feature'])(
    '%s follows the syntax of GitHub, with a unique id for each field',
    (name) => {
      const { body } = Form.parse(parse(read(`.github/ISSUE_TEMPLATE/${name}.yml`)));
      const ids = body.flatMap((field) => ('id' in field ? [field.id] : []));
      expect(new Set(ids).size).toBe(ids.length);
      expect(ids.length).toBeGreaterThan(0);
    },
  );

  test('chooser directs vulnerabilities to a private channel', () => {
    const Chooser = z.strictObject({
      blank_issues_enabled: z.boolean(),
      contact_links: z.array(z.strictObject({ name: z.string(), url: z.url(), about: z.string() })),
    });
    const { contact_links } = Chooser.parse(parse(read('.github/ISSUE_TEMPLATE/config.yml')));
    expect(contact_links[0]?.about).toContain('SECURITY.md');
  });
});
