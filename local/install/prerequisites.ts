import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { MissingPrerequisiteError } from '../errors.ts';

const run = promisify(execFile);
/** Maven alone takes 20 seconds on a machine that is very busy. */
const PROBE_TIMEOUT_MS = 120_000;

/** Neo4j 5.26 needs Java 17; its documentation lists 17 and 21. */
const JAVA_MIN = 17;
/** According to the metadata of ministack 1.5.33. */
const PYTHON_MIN = [3, 10] as const;

/** Checks for a program that native installations call; returns a message if it is missing. */
type Probe = (environment: NodeJS.ProcessEnv) => Promise<string | undefined>;

/** What Java says about its version and build; undefined if there is none. */
export function javaVersion(environment: NodeJS.ProcessEnv): Promise<string | undefined> {
  return output('java', ['-version'], environment);
}

const java: Probe = async (environment) => {
  const text = await javaVersion(environment);
  const version = Number(/version "(\d+)/.exec(text ?? '')?.[1]);
  if (version >= JAVA_MIN) return undefined;
  return `Java ${JAVA_MIN} or later is missing${found(text)}: apt install openjdk-17-jre-headless (for Neo4j)`;
};

const maven: Probe = async (environment) => {
  if (/Apache Maven/.test((await output('mvn', ['-version'], environment)) ?? '')) return undefined;
  return 'Maven is missing: apt install maven (it downloads Neo4j)';
};

const python: Probe = async (environment) => {
  const text = await output('python3', ['-c', PYTHON_PROBE], environment);
  const [, major, minor, pip] = /^(\d+)\.(\d+)\.\d+ (pip|venv|none)/.exec(text ?? '') ?? [];
  const recent =
    Number(major) > PYTHON_MIN[0] || (Number(major) === PYTHON_MIN[0] && Number(minor) >= PYTHON_MIN[1]);
  if (!recent) {
    return `Python ${PYTHON_MIN.join('.')} or later is missing${found(text)}: apt install python3 python3-venv (for the AWS emulator and PostgreSQL)`;
  }
  return pip === 'none'
    ? 'Python has neither pip nor venv: apt install python3-venv (for the AWS emulator and PostgreSQL)'
    : undefined;
};

/**
 * Prints the version, how packages can be installed (with this Python's pip, or with a venv's), and the path of the
 * interpreter.
 */
const PYTHON_PROBE = `
import importlib.util as u, platform, sys
print(platform.python_version(), "pip" if u.find_spec("pip") else "venv" if u.find_spec("ensurepip") and u.find_spec("venv") else "none")
print(sys.executable)
`;

/**
 * How Python packages are installed on this machine: with `pip` of the system's Python, or in a `venv`. Names the
 * interpreter itself, not `python3` on the PATH, which may be a script of a version manager: pyenv rewrites all of
 * its scripts after each pip, so that a call at that moment finds none.
 */
export async function pythonInstaller(
  environment: NodeJS.ProcessEnv,
): Promise<{ how: 'pip' | 'venv'; python: string }> {
  const text = (await output('python3', ['-c', PYTHON_PROBE], environment)) ?? '';
  const [first = '', python] = text.split('\n');
  return { how: / pip$/.test(first) ? 'pip' : 'venv', python: python || 'python3' };
}

const postgres: Probe = async () =>
  `${process.platform}-${process.arch}` === 'linux-x64'
    ? undefined
    : 'PostgreSQL is installed on Linux on x64 only: set POSTGRES_URL to the address of a running server';

const PROBES = {
  neo4j: [java, maven],
  qdrant: [],
  redis: [],
  postgres: [postgres, python],
  aws: [python],
} as const;

/**
 * Checks that this machine meets the requirements for a native installation of these services. Throws
 * MissingPrerequisiteError with one line for each missing program.
 */
export async function checkPrerequisites(
  services: readonly (keyof typeof PROBES)[],
  environment: NodeJS.ProcessEnv,
): Promise<void> {
  const probes = new Set(services.flatMap((service): readonly Probe[] => PROBES[service]));
  const missing = (await Promise.all([...probes].map((probe) => probe(environment)))).filter(
    (line) => line !== undefined,
  );
  if (missing.length === 0) return;
  throw new MissingPrerequisiteError(missing.join('\n'), {
    remedy:
      'Install that and try again; or start Docker and set NGBAK_LOCAL_DOCKER=1, to run the stores in containers.',
  });
}

/** Throws MissingPrerequisiteError if this machine's Python is older than some packages need. */
export async function checkPython(
  [major, minor]: readonly [number, number],
  what: string,
  environment: NodeJS.ProcessEnv,
): Promise<void> {
  const probe = `import sys; sys.exit(sys.version_info < (${major}, ${minor}))`;
  if ((await output('python3', ['-c', probe], environment)) !== undefined) return;
  throw new MissingPrerequisiteError(`${what} needs Python ${major}.${minor} or later.`, {
    remedy: 'Install it, and put its python3 first on the PATH.',
  });
}

/** The output of a program, or undefined if the program does not exist or fails. */
async function output(command: string, args: string[], env: NodeJS.ProcessEnv): Promise<string | undefined> {
  try {
    const { stdout, stderr } = await run(command, args, { env, timeout: PROBE_TIMEOUT_MS });
    return stdout + stderr;
  } catch (error) {
    // Missing and broken programs are treated alike; the caller reports what to install.
    if (error instanceof Error) return undefined;
    throw error;
  }
}

function found(text: string | undefined): string {
  const line = text?.trim().split('\n')[0];
  return line ? ` (found: ${line})` : '';
}
