import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT } from '../folders.ts';
import { VERSIONS } from '../versions.ts';
import { checkSha256List, type InstallContext, installed, runInstaller } from './install.ts';

const PINS = join(ROOT, 'local/pins');

/**
 * Copies the jars of a Maven project in local/pins/ into a folder, checks them against their pins, and returns the
 * folder.
 */
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

/** Installs Neo4j Community with Maven, and returns the folder of its jars. */
export function installNeo4j(context: InstallContext): Promise<string> {
  return installJars('neo4j', VERSIONS.neo4j, context);
}

/** Installs APOC, whose JSON lines are similar to ngbak's, and returns a folder for the plugins of a server. */
export function installApoc(context: InstallContext): Promise<string> {
  return installJars('apoc', VERSIONS.apoc, context);
}
