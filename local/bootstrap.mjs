/**
 * Runs a TypeScript program of this repository on a machine that may have nothing but an older Node: installs the npm
 * packages when they are missing or older than the lock file, then hands over to the Node 24 that is one of them.
 * Plain JavaScript for Node 18 and later, with nothing but Node's own modules.
 *
 *   node local/bootstrap.mjs SCRIPT.ts [arguments…]
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const NODE_MAJOR_MIN = 18;
const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const modules = join(root, 'node_modules');
const binaries = join(modules, '.bin');
const node = join(binaries, process.platform === 'win32' ? 'node.cmd' : 'node');

function fail(message) {
  console.error(message);
  process.exit(1);
}

/** Runs a program to its end, hands every signal on, and gives back what this process shall exit with. */
function run(command, args, environment = process.env) {
  return new Promise((done) => {
    const child = spawn(command, args, { cwd: process.cwd(), env: environment, stdio: 'inherit' });
    const forwarders = ['SIGINT', 'SIGTERM', 'SIGHUP'].map((name) => {
      // Ctrl-C reaches the child from the terminal as well; it counts the signals that follow each other as one.
      const forward = () => child.kill(name);
      process.on(name, forward);
      return () => process.off(name, forward);
    });
    child.on('error', (error) => fail(`${command} can't be run: ${error.message}`));
    child.on('close', (code, signal) => {
      for (const remove of forwarders) remove();
      done(code ?? 128 + (constants.signals[signal] ?? 0));
    });
  });
}

const [script, ...args] = process.argv.slice(2);
if (!script) fail('Usage: node local/bootstrap.mjs SCRIPT.ts [arguments…]');
if (Number(process.versions.node.split('.')[0]) < NODE_MAJOR_MIN) {
  fail(
    `Node ${process.versions.node} is too old: install Node ${NODE_MAJOR_MIN} or later (https://nodejs.org).`,
  );
}

// npm writes its own copy of the lock file last, so a stamp of ours beside it means that an installation was complete.
const stamp = join(modules, '.ngbak-installed');
const wanted = createHash('sha256')
  .update(readFileSync(join(root, 'package-lock.json')))
  .digest('hex');
const installed = existsSync(stamp) ? readFileSync(stamp, 'utf8') : '';
if (installed !== wanted || !existsSync(node)) {
  console.error('Installing the npm packages of package-lock.json …');
  const npm = process.env.npm_execpath;
  const quiet = ['ci', '--prefix', root, '--no-audit', '--no-fund', '--loglevel=error'];
  const code = npm ? await run(process.execPath, [npm, ...quiet]) : await run('npm', quiet);
  if (code !== 0) fail(`npm ci failed with exit code ${code}: its own message is above.`);
  writeFileSync(stamp, wanted);
}

// Node 24 comes first on the PATH, so that whatever the program starts runs on it too.
const environment = { ...process.env, PATH: binaries + delimiter + (process.env.PATH ?? '') };
process.exitCode = await run(
  node,
  ['--disable-warning=ExperimentalWarning', resolve(root, script), ...args],
  environment,
);
