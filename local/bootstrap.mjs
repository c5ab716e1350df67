/**
 * Runs a TypeScript program of this repository on a machine that may only have an older Node: installs the npm
 * packages if they are missing or older than the lock file, then runs the program with Node 24, which is one of them.
 * Plain JavaScript for Node 20 and later, with Node's built-in modules only.
 *
 *   node local/bootstrap.mjs [SCRIPT.ts [arguments…]]
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const NODE_MAJOR_MIN = 20;
const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const modules = join(root, 'node_modules');
const binaries = join(modules, '.bin');
const node = join(binaries, process.platform === 'win32' ? 'node.cmd' : 'node');

// Otherwise npm and other programs keep compiled code in the temporary directory, and swc keeps its library in HOME.
const caches = resolve(process.env.NGBAK_LOCAL_DIR || join(root, '.local'), 'cache');
process.env.NODE_COMPILE_CACHE ??= join(caches, 'node');
process.env.SWC_NATIVE_BINDING_CACHE ??= join(caches, 'swc');
mkdirSync(process.env.SWC_NATIVE_BINDING_CACHE, { recursive: true });

function fail(message) {
  console.error(message);
  process.exit(1);
}

/** Runs a program to its end, forwards every signal, and returns the exit code for this process. */
function run(command, args, environment = process.env) {
  return new Promise((done) => {
    const child = spawn(command, args, { cwd: process.cwd(), env: environment, stdio: 'inherit' });
    const forwarders = ['SIGINT', 'SIGTERM', 'SIGHUP'].map((name) => {
      // Ctrl-C also reaches the child from the terminal; the child treats signals in quick succession as one.
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
if (Number(process.versions.node.split('.')[0]) < NODE_MAJOR_MIN) {
  fail(
    `Node ${process.versions.node} is too old: install Node ${NODE_MAJOR_MIN} or later (https://nodejs.org).`,
  );
}

/**
 * Whether node_modules matches the lock file exactly. npm writes its own record of the installed packages there last,
 * so an existing record means that the installation was complete; packages for other platforms are not in it. Copies
 * of a checkout may share the record by hard links, so the folders are checked as well.
 */
function isInstalled() {
  const record = join(modules, '.package-lock.json');
  if (!existsSync(record) || !existsSync(node)) return false;
  const { packages: wanted } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  const { packages: found } = JSON.parse(readFileSync(record, 'utf8'));
  const same = Object.entries(found).every(([path, { version }]) => wanted[path]?.version === version);
  const all = Object.entries(wanted).every(
    ([path, { optional }]) => path === '' || optional || (path in found && existsSync(join(root, path))),
  );
  return same && all;
}

if (!isInstalled()) {
  console.error('Installing the npm packages of package-lock.json …');
  // Not `npm ci`, which first removes what is installed: this installs only the differences. It uses the versions and
  // hashes of the lock file as well, and does not change it.
  const install = ['install', '--no-save', '--prefix', root, '--no-audit', '--no-fund', '--loglevel=error'];
  const npm = process.env.npm_execpath;
  const code = npm ? await run(process.execPath, [npm, ...install]) : await run('npm', install);
  if (code !== 0) fail(`npm failed with exit code ${code}: its own message is above.`);
  if (!isInstalled())
    fail('npm has not installed what package-lock.json says: remove node_modules and try again.');
}

// Without a script, the installation was the only task.
if (!script) process.exit(0);

// Node 24 comes first on the PATH, so that child processes use it too.
const environment = { ...process.env, PATH: binaries + delimiter + (process.env.PATH ?? '') };
process.exitCode = await run(
  node,
  ['--disable-warning=ExperimentalWarning', resolve(root, script), ...args],
  environment,
);
