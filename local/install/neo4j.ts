import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT } from '../folders.ts';
import { VERSIONS } from '../versions.ts';
import { checkSha256List, type InstallContext, installed, runInstaller } from './install.ts';

const PINS = join(ROOT, 'local/pins');

/** Installs Neo4j Community by Maven, and gives back the folder of its jars. */
export async function installNeo4j(context: InstallContext): Promise<string> {
  const folder = await installed(`neo4j-${VERSIONS.neo4j}`, context, async (half) => {
    await copyFile(join(PINS, 'neo4j-pom.xml'), join(half, 'pom.xml'));
    await runInstaller(
      'mvn',
      ['-q', '-B', 'dependency:copy-dependencies', '-DoutputDirectory=lib', '-DincludeScope=runtime'],
      context,
      { cwd: half, remedy: 'See what Maven says; it needs Maven Central or a mirror in ~/.m2/settings.xml.' },
    );
    await checkSha256List(join(half, 'lib'), join(PINS, 'neo4j-jars.sha256'), 'Maven');
  });
  return join(folder, 'lib');
}
