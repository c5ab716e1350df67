import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT } from '../folders.ts';
import { VERSIONS } from '../versions.ts';
import { checkSha256List, type InstallContext, installed, runInstaller } from './install.ts';

const PINS = join(ROOT, 'local/pins');

/** Copies the jars of a Maven project in local/pins/ into a folder, checks them against their pins, and gives it back. */
async function installJars(name: string, version: string, context: InstallContext): Promise<string> {
  const folder = await installed(`${name}-${version}`, context, async (half) => {
    await copyFile(join(PINS, `${name}-pom.xml`), join(half, 'pom.xml'));
    await runInstaller(
      'mvn',
      ['-q', '-B', 'dependency:copy-dependencies', '-DoutputDirectory=lib', '-DincludeScope=runtime'],
      context,
      { cwd: half, remedy: 'See what Maven says; it needs Maven Central or a mirror in ~/.m2/settings.xml.' },
    );
    await checkSha256List(join(half, 'lib'), join(PINS, `${name}-jars.sha256`), 'Maven');
  });
  return join(folder, 'lib');
}

/** Installs Neo4j Community by Maven, and gives back the folder of its jars. */
export function installNeo4j(context: InstallContext): Promise<string> {
  return installJars('neo4j', VERSIONS.neo4j, context);
}

/** Installs APOC, whose JSON lines ours resemble, and gives back a folder that a server can take its plugins from. */
export function installApoc(context: InstallContext): Promise<string> {
  return installJars('apoc', VERSIONS.apoc, context);
}
