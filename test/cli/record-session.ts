/**
 * `npm run record-session`: runs `ngbak` against the deployment in the environment, and writes its output into
 * README.md, between two marker lines. `npm run demo -- --keep` leaves a deployment with data, and prints its
 * variables.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const ROOT = resolve(import.meta.dirname, '../..');
const README = join(ROOT, 'README.md');
const BEGIN = '<!-- made by `npm run record-session`; do not edit -->';
const END = '<!-- end of the session -->';
/** Timeout of one command, in milliseconds. */
const COMMAND_MS = 240_000;

/** Runs one command in a folder, with a pipe; returns the output that a terminal would have shown. */
function ngbak(folder: string, ...args: string[]): Promise<string> {
  const node = [
    process.execPath,
    '--disable-warning=ExperimentalWarning',
    join(ROOT, 'cli/main.ts'),
    ...args,
  ];
  return new Promise((done, fail) => {
    execFile(
      'sh',
      ['-c', 'exec "$0" "$@" 2>&1', ...node],
      {
        cwd: folder,
        env: { ...process.env, TZ: 'UTC', NGBAK_DOWNLOAD_FOLDER: folder },
        timeout: COMMAND_MS,
        maxBuffer: 1024 ** 2,
      },
      (error, stdout) => {
        if (error) return fail(new Error(`ngbak ${args.join(' ')} failed:\n${stdout}`, { cause: error }));
        // Progress would be most of the output, and its amount depends on the machine.
        const shown = stdout
          .replaceAll(`${folder}/`, '')
          .replaceAll(/^ {2}(graph|vectors|key-value|config|archive) [\w-]+: .*\n/gm, '')
          .replaceAll(/^(Console: +https:\/\/).*$/gm, '$1…')
          .trimEnd();
        const typed = args.map((word) => (word.includes(' ') ? `'${word}'` : word)).join(' ');
        return done(`$ ngbak ${typed}\n${shown}\n`);
      },
    );
  });
}

const folder = await mkdtemp(join(tmpdir(), 'ngbak-session-'));
try {
  const parts = [await ngbak(folder, 'backup', '--note', 'before the upgrade', '--keep', '30d', '--wait')];
  parts.push(await ngbak(folder, 'list', '--limit', '1'));
  const id = /^snapshot_\S+/m.exec(parts.at(-1) ?? '')?.[0] ?? '';
  parts.push(await ngbak(folder, 'download', id));
  const [file = ''] = await readdir(folder);
  parts.push(await ngbak(folder, 'archive', 'verify', file));
  parts.push(await ngbak(folder, 'restore', file, '--confirm', 'default'));
  const text = await readFile(README, 'utf8');
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begin < 0 || end < begin)
    throw new Error('README.md has lost the lines between which the session goes.');
  const session = `${BEGIN}\n\n\`\`\`text\n${parts.join('\n')}\`\`\`\n\n`;
  await writeFile(README, text.slice(0, begin) + session + text.slice(end));
} finally {
  await rm(folder, { recursive: true });
}
