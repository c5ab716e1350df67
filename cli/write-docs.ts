import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import { apiDocument } from '../shared/api/document.ts';
import { makeProgram } from './program.ts';

/** docs/cli.md: the text between these two lines is generated from the program's own help. */
const BEGIN = '<!-- made by `node local/bootstrap.mjs cli/write-docs.ts` from --help; do not edit -->';
const END = '<!-- end of the generated part -->';
/** Columns of help texts in the document. */
const WIDTH = 100;

const PATH = join(import.meta.dirname, '..', 'docs', 'cli.md');
const OPENAPI_PATH = join(import.meta.dirname, '..', 'docs', 'openapi.json');

/** The expected document, generated from the existing one. */
export async function cliDocument(): Promise<string> {
  const text = await readFile(PATH, 'utf8');
  const begin = text.indexOf(BEGIN);
  const end = text.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`${PATH} has lost the lines between which help goes.`);
  return `${text.slice(0, begin + BEGIN.length)}\n\n${helpOfAll()}\n${text.slice(end)}`;
}

function helpOfAll(): string {
  const program = makeProgram().configureHelp({ showGlobalOptions: false });
  const help = (command: Command) => {
    command.configureOutput({ getOutHelpWidth: () => WIDTH, getOutHasColors: () => false });
    let text = '';
    command.configureOutput({
      writeOut: (part) => {
        text += part;
      },
    });
    command.outputHelp();
    return `\`\`\`text\n${text.trim()}\n\`\`\`\n`;
  };
  const sections = (commands: readonly Command[], path: string): string[] =>
    commands.flatMap((command) => {
      const name = `${path} ${command.name()}`;
      command.configureHelp({ showGlobalOptions: false });
      return [
        `### ${name}\n\n${help(command)}`,
        ...sections(
          command.commands.filter((inner) => inner.name() !== 'help'),
          name,
        ),
      ];
    });
  return [
    `### ngbak\n\n${help(program)}`,
    ...sections(
      program.commands.filter((command) => command.name() !== 'help'),
      'ngbak',
    ),
  ].join('\n');
}

/** The expected docs/openapi.json. */
export function openApiText(): string {
  return `${JSON.stringify(apiDocument(), null, 2)}\n`;
}

if (process.argv[1] === import.meta.filename) {
  await writeFile(PATH, await cliDocument());
  await writeFile(OPENAPI_PATH, openApiText());
}
