import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from '@jest/globals';
import { completionScript } from '../../cli/commands/completion.ts';
import { makeProgram } from '../../cli/program.ts';
import { ENVIRONMENT, Settings } from '../../cli/settings.ts';
import { cliDocument, openApiText } from '../../cli/write-docs.ts';

test('docs/cli.md has the current help of every command (else run `node local/bootstrap.mjs cli/write-docs.ts`)', async () => {
  expect(await readFile('docs/cli.md', 'utf8')).toBe(await cliDocument());
});

test('docs/openapi.json is the document that the API serves (else run `node local/bootstrap.mjs cli/write-docs.ts`)', async () => {
  expect(await readFile('docs/openapi.json', 'utf8')).toBe(openApiText());
});

test('docs/cli.md lists every setting and every variable', async () => {
  const text = await readFile('docs/cli.md', 'utf8');
  for (const key of Object.keys(Settings.shape)) expect(text).toContain(`\`${key}\``);
  for (const name of Object.values(ENVIRONMENT)) expect(text).toContain(`\`${name}\``);
});

/** Words that follow the name of the product in templates that begin with it. */
const SENTENCES = ['reads', 'retries', 'upload'];

test('documentation, remedies and messages name only existing ngbak commands', async () => {
  const folders = ['docs', 'shared', 'cli', 'dashboard', 'infra', 'functions'];
  const names = await Promise.all(
    folders.map(async (folder) =>
      (await readdir(folder, { recursive: true }))
        .filter((name) => /\.(md|ts|tsx)$/.test(name))
        .map((name) => join(folder, name)),
    ),
  );
  const program = makeProgram();
  const commands = new Set(program.commands.flatMap((command) => [command.name(), ...command.aliases()]));
  const unknown: string[] = [];
  for (const path of ['README.md', 'CHANGELOG.md', ...names.flat()]) {
    // Only in code: in a sentence, "ngbak" is the product.
    for (const [, name = ''] of (await readFile(path, 'utf8')).matchAll(/`ngbak ([a-z]+(?:-[a-z]+)*)\b/g)) {
      if (!commands.has(name) && !SENTENCES.includes(name)) unknown.push(`${path}: ngbak ${name}`);
    }
  }
  expect(unknown).toEqual([]);
});

test.each(['bash', 'zsh', 'fish'] as const)('completion for %s knows every command', (shell) => {
  const program = makeProgram();
  const script = completionScript(program, shell);
  for (const command of program.commands) expect(script).toContain(command.name());
  expect(script).toContain('keep-last');
});

test.each([
  ['ngbak resto', 'restore'],
  ['ngbak restore x --mode ', 'replace merge if_empty'],
  ['ngbak --json archive li', 'list'],
  ['ngbak local up --on', '--only'],
  ['ngbak list list --lim', '--limit'],
])('in a real bash, "%s" and Tab give "%s"', async (line, expected) => {
  const script = `${completionScript(makeProgram(), 'bash')}
    COMP_WORDS=(${line.replace(/ $/, " ''")})
    COMP_CWORD=$(( \${#COMP_WORDS[@]} - 1 ))
    _ngbak
    echo "\${COMPREPLY[*]}"`;
  const { stdout } = await promisify(execFile)('bash', ['--norc', '-c', script]);
  expect(stdout.trim()).toBe(expected);
});
