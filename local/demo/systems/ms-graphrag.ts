import { randomBytes } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { drawBlueprint } from '../../knowledge-base/blueprint.ts';
import { countRecords } from '../../knowledge-base/copies.ts';
import { uploadFolder, writeMsGraphrag } from '../../knowledge-base/ms-graphrag.ts';
import { readInstalledPackages } from '../../knowledge-base/packages.ts';
import { readEverything } from '../../proof/proof.ts';
import { VERSIONS } from '../../versions.ts';
import { damageProject } from '../damage-project.ts';
import { formatCount } from '../screen.ts';
import { startServers } from '../start-servers.ts';
import { type DemoSystem, NAMESPACE, type RunningSystem } from '../system.ts';
import { installing } from './installing.ts';

/** Microsoft GraphRAG, whose project is synchronized to S3. */
export const msGraphrag: DemoSystem = {
  servers: [],
  proves: 'byte of every file: tables, every version of the vectors, cache, prompts and settings',
  async start(options): Promise<RunningSystem> {
    const stack = await startServers(['aws'], options);
    return { stack, ...projectIn(`graphrag-${randomBytes(6).toString('hex')}`, stack.logs) };
  },
};

/** A project below a prefix of a bucket that does not exist yet; `logs` is a folder. */
export function projectIn(bucket: string, logs: string): Omit<RunningSystem, 'stack'> {
  const place = { bucket, prefix: NAMESPACE };
  return {
    target: { profile: 'ms-graphrag', stores: { kv: { kind: 'files', buckets: [bucket] } } },
    secrets: { kv: { location: `s3://${place.bucket}/${place.prefix}` } },
    // It makes a bucket of its own.
    refuseFilled: async () => undefined,
    async load({ scale, folder, view, signal, blueprint: given }) {
      const blueprint = given ?? (await drawBlueprint(readInstalledPackages()));
      const counts = countRecords(blueprint, scale);
      const project = join(folder, 'project');
      await mkdir(project);
      view.live([`Microsoft GraphRAG ${VERSIONS.msGraphrag} writes its project`]);
      const install = installing(view, logs, signal);
      await writeMsGraphrag(project, blueprint, { scale, folder, install });
      view.live(['synchronizing the project to S3']);
      await new S3Client({}).send(new CreateBucketCommand({ Bucket: place.bucket }));
      const files = await uploadFolder(project, place, signal);
      await rm(project, { recursive: true });
      const { documents, chunks, entities, relationships, communities } = counts;
      view.line(
        `${formatCount(documents)} READMEs in ${formatCount(chunks)} chunks, written by Microsoft GraphRAG ${VERSIONS.msGraphrag}'s own classes:`,
      );
      view.line(
        `${formatCount(entities)} entities, ${formatCount(relationships)} relationships, ${formatCount(communities)} communities`,
      );
      view.line(
        `${formatCount(files)} files: tables in parquet, vectors in LanceDB, cache, prompts, settings`,
      );
      return counts;
    },
    damage: () => damageProject(place),
    read: (folder) => readEverything({ files: place }, { folder }),
  };
}
