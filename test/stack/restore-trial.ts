import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { ListMultipartUploadsCommand } from '@aws-sdk/client-s3';
import { ListExecutionsCommand } from '@aws-sdk/client-sfn';
import { type Layout, ngraf023Layout } from '../../local/knowledge-base/layout.ts';
import { type Connections, loadKnowledgeBase } from '../../local/knowledge-base/load.ts';
import { type Proof, readEverything } from '../../local/proof/proof.ts';
import { CATALOG_CACHE_KEY } from '../../shared/aws/keys.ts';
import { relatedJobId } from '../../shared/core/job-ids.ts';
import { createRestoreRequest } from '../../shared/workflows/restore/request.ts';
import { removeKnowledgeBase, smallBlueprint } from '../knowledge-base/small.ts';
import { servers } from '../servers.ts';
import { until } from '../support/until.ts';
import { deployedStack } from './harness.ts';
import { type Inventory, listServers } from './inventory.ts';

/** Poll interval of a running execution, in milliseconds. */
export const POLL_MS = 80;
/** Timeout of a test for an expected event, in milliseconds: a deadline for hangs. */
export const DEADLINE_MS = 180_000;

/** The contents of a target, read independently of the product, and the inventory of its servers. */
export interface TargetContents {
  readonly parts: Proof['parts'];
  readonly servers: Inventory;
}

/** One of two states that the target alternates between, with its archive. */
export interface Side {
  readonly name: string;
  readonly archive: Uint8Array;
  readonly held: TargetContents;
}

export interface Trial {
  readonly stack: ReturnType<typeof deployedStack>;
  readonly target: string;
  readonly connections: Connections;
  readonly layout: Layout;
  /** Folder for the details of reads; emptied after each. */
  readonly folder: string;
  /** {@link leftovers} that existed before and belong to other tests. */
  readonly known: ReadonlySet<string>;
}

/** Reads the contents of the target and the inventory of the servers. */
export async function readTarget({ connections, layout, folder }: Trial): Promise<TargetContents> {
  const { parts } = await readEverything(connections, {
    folder: join(folder, 'held'),
    scope: {
      label: layout.label,
      collections: Object.values(layout.collections),
      keyPrefix: `${layout.keyPrefix}:`,
    },
  });
  return { parts, servers: await listServers(connections) };
}

/** Creates a side from the current contents of the target: backs it up and reads it. */
export async function takeSide(trial: Trial, name: string): Promise<Side> {
  const { status, output, cause } = await trial.stack.run('Backup', { target: trial.target });
  if (status !== 'SUCCEEDED') throw new Error(`The backup that the trial starts from failed: ${cause}`);
  const { backup_id } = JSON.parse(output ?? '{}') as { backup_id: string };
  return { name, archive: await trial.stack.download(backup_id), held: await readTarget(trial) };
}

export interface Prepared {
  readonly trial: Trial;
  /** The first contents: the archive that a test restores. */
  readonly before: Side;
  /** The contents when the test begins. */
  readonly now: Side;
  remove(): Promise<void>;
}

/**
 * Fills target `default` twice with different knowledge bases, and returns both; the second one is current. `remove`
 * deletes everything again.
 *
 * @param own  servers of this test, instead of the shared ones; the target's secrets must have their addresses already
 */
export async function prepareTrial(own: Partial<Connections> = {}): Promise<Prepared> {
  const { uri, username, password } = servers.neo4j;
  const connections = {
    neo4j: { uri, username, password },
    qdrant: { url: servers.qdrant.url, api_key: servers.qdrant.apiKey },
    redis: { url: servers.redis.url, password: servers.redis.password },
    ...own,
  };
  const layout = ngraf023Layout('default');
  const folder = await mkdtemp(join(tmpdir(), 'ngbak-trial-'));
  const stack = deployedStack();
  const known = new Set(await leftovers(stack));
  const trial = { stack, target: 'default', connections, layout, folder, known };
  const fill = async (packages: number) => {
    await removeKnowledgeBase(connections, layout);
    await loadKnowledgeBase({
      ...connections,
      namespace: 'default',
      blueprint: await smallBlueprint(packages),
    });
    return takeSide(trial, `${packages} packages`);
  };
  const before = await fill(8);
  const now = await fill(24);
  return {
    trial,
    before,
    now,
    async remove() {
      await removeKnowledgeBase(connections, layout);
      await rm(folder, { recursive: true });
    },
  };
}

/** Which of the two states the target is in. Any other state is a failure. */
export async function whichSide(
  trial: Trial,
  from: Side,
  to: Side,
): Promise<'the archive' | 'as before' | 'BETWEEN'> {
  const held = await readTarget(trial);
  if (isDeepStrictEqual(held, to.held)) return 'the archive';
  return isDeepStrictEqual(held, from.held) ? 'as before' : 'BETWEEN';
}

/** A restore in progress, and how to follow it. */
export interface Followed {
  readonly jobId: string;
  /** The restore, and its safety backup, which may not have begun. */
  readonly executions: readonly string[];
}

/** Uploads an archive and waits until its restore has started. */
export async function begin({ stack, target }: Trial, to: Side, confirmed = true): Promise<Followed> {
  const stateMachineArn = stack.output('RestoreStateMachineArn');
  const list = async () => {
    const running = new ListExecutionsCommand({ stateMachineArn, statusFilter: 'RUNNING' });
    return (await stack.sfn.send(running)).executions ?? [];
  };
  const known = new Set((await list()).map(({ executionArn }) => executionArn));
  const upload = await createRestoreRequest(stack.bucket, {
    target,
    fileName: 'x.ngbak',
    confirm: confirmed ? target : undefined,
  });
  const { url, method, headers } = upload.put;
  const answer = await fetch(url, { method, headers, body: to.archive as BodyInit });
  if (!answer.ok) throw new Error(`Upload refused: ${answer.status} ${await answer.text()}`);
  const arn = await until(
    'the upload has started a restore',
    async () => (await list()).find(({ executionArn }) => !known.has(executionArn))?.executionArn,
    { pauseMs: POLL_MS },
  );
  const safety = stack.output('BackupStateMachineArn').replace(':stateMachine:', ':execution:');
  return { jobId: upload.job_id, executions: [arn, `${safety}:${relatedJobId('safety', upload.job_id)}`] };
}

/** Objects that jobs must not leave in the bucket: neither backups nor records of jobs, and unfinished uploads. */
async function leftovers({ bucket, keys }: Trial['stack']): Promise<string[]> {
  const objects = (await keys()).filter(
    (key) => !key.startsWith('backups/') && !key.startsWith('jobs/') && key !== CATALOG_CACHE_KEY,
  );
  const { Uploads = [] } = await bucket.s3.send(new ListMultipartUploadsCommand({ Bucket: bucket.name }));
  return [...objects, ...Uploads.map(({ Key, UploadId }) => `unfinished upload ${Key} ${UploadId}`)];
}

/** Waits until the janitor has finished, and returns the leftovers in the bucket, if any. */
export async function settled({ stack, target, known }: Trial, jobId: string): Promise<string[]> {
  const look = async () => {
    const confirmation = await stack.keys(`jobs/${jobId}/confirmation`);
    const left = [...(await leftovers(stack)).filter((what) => !known.has(what)), ...confirmation];
    return [...left, ...(await stack.keys(`locks/${target}.`))];
  };
  return until('nothing is left in the bucket', look, { holds: ({ length }) => length === 0 });
}
