import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { deferredKey } from '../../shared/aws/keys.ts';
import { run } from '../cli/run.ts';
import { withClients } from './content.ts';
import { deployedStack } from './harness.ts';

/** In addition to target `options`: nodes of another knowledge base, and one with a relationship into it. */
const [OURS, THEIRS] = ['DanglingOurs', 'DanglingTheirs'];
const RENAME = { label: OURS };

const cypher = (query: string) => withClients(({ cypher: run }) => run(query));
const links = async () =>
  (
    await cypher(
      `MATCH (a:${OURS})-[r]-(b:${THEIRS}) RETURN a.id + ' ' + type(r) + ' ' + b.id AS link ORDER BY link`,
    )
  ).map(({ link }) => link);
const makeNeighbour = (id: string) => cypher(`MERGE (:${THEIRS} {id: '${id}'})`);

afterAll(async () => {
  await cypher(`MATCH (n) WHERE n:${OURS} OR n:${THEIRS} DETACH DELETE n`);
});

describe('dangling relationships', () => {
  let backupId: string;
  beforeAll(async () => {
    const stack = deployedStack();
    await cypher(`MATCH (n) WHERE n:${OURS} OR n:${THEIRS} OR n:Options DETACH DELETE n`);
    await cypher(
      `CREATE (a:Options {id: 'a'}), (b:Options {id: 'b'}), (x:${THEIRS} {id: 'x'}), (y:${THEIRS} {id: 'y'})
       CREATE (a)-[:KNOWS]->(b), (a)-[:CITES {page: 4}]->(x), (y)-[:CITES]->(b)`,
    );
    const { output, cause } = await stack.run('Backup', { target: 'options', stores: ['graph'] });
    expect(cause).toBeUndefined();
    backupId = (JSON.parse(output ?? '') as { backup_id: string }).backup_id;
    await cypher(`MATCH (n) WHERE n:Options OR n:${THEIRS} DETACH DELETE n`);
  });

  let kept: string;
  it('are kept by a restore that defers them, which attaches those whose other end exists', async () => {
    const stack = deployedStack();
    await makeNeighbour('x');
    const input = { backup_id: backupId, confirm: 'options', rename: RENAME, dangling: 'defer' };
    const first = await stack.run('Restore', input);
    expect(first.cause).toBeUndefined();
    expect(JSON.parse(first.output ?? '')).toMatchObject({
      dangling: { attached: 1, left_out: 1, kept: true },
    });
    expect(await links()).toEqual(['a CITES x']);
    kept = first.name ?? '';
    expect(await stack.keys('deferred/')).toContain(deferredKey(kept));
  });

  it('are attached by `ngbak attach` once the other end exists, each once, however often it runs', async () => {
    await makeNeighbour('y');
    for (let time = 0; time < 2; time++) {
      const ran = await run(['attach', kept, '--confirm', 'options', '--json'], {
        NGBAK_STACK: 'NgbakTest',
      });
      expect([ran.code, ran.stdout, ran.stderr]).toEqual([0, expect.anything(), '']);
      expect(ran.lines().find(({ type }) => type === 'job')?.data).toMatchObject({
        state: 'completed',
        result: { dangling: { attached: 2, left_out: 0 } },
      });
      expect(await links()).toEqual(['a CITES x', 'b CITES y']);
    }
    expect(await cypher(`MATCH (:${OURS})-[r:CITES]->(:${THEIRS}) RETURN r.page AS page`)).toHaveLength(1);
  });

  it('are attached by the HTTP API once for each idempotency key, and not before the confirmation', async () => {
    const stack = deployedStack();
    await cypher(`MATCH (n:${THEIRS} {id: 'y'}) DETACH DELETE n`);
    await makeNeighbour('y');
    const post = async (path: string, body: object) => {
      const answer = await fetch(`${stack.apiUrl()}/api/v1/restore/${path}`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${stack.apiKey('operator')}`,
          'content-type': 'application/json',
          'idempotency-key': `attach ${kept}`,
        },
        body: JSON.stringify(body),
      });
      return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
    };
    const started = await post(`${kept}/attach`, {});
    expect(started).toMatchObject({ status: 202, body: { replayed: false } });
    const jobId = String(started.body.job_id);
    expect(await post(`${kept}/attach`, {})).toMatchObject({
      status: 202,
      body: { job_id: jobId, replayed: true },
    });
    expect(await post(`${kept}/attach`, { safety_backup: false })).toMatchObject({ status: 409 });
    await stack.waitForJob(jobId, ({ state }) => state === 'awaiting_confirmation');
    expect(await links()).toEqual(['a CITES x']);
    // Two concurrent requests, as from a client that got no response: one succeeds, and the other one is refused with
    // the reason.
    const confirmed = [1, 2].map(() => post(`${jobId}/confirm`, { phrase: 'options' }));
    expect((await Promise.all(confirmed)).sort((left, right) => left.status - right.status)).toMatchObject([
      { status: 202 },
      { status: 409 },
    ]);
    expect(await stack.waitForJob(jobId)).toMatchObject({
      state: 'completed',
      requested_by: 'test-operator',
      result: { dangling: { attached: 2, left_out: 0 } },
    });
    expect(await links()).toEqual(['a CITES x', 'b CITES y']);
  });

  it('are reported as missing by an attach for a restore that kept none', async () => {
    const { cause, status } = await deployedStack().run('Restore', {
      attach: 'no-such-job',
      confirm: 'options',
    });
    expect(status).toBe('FAILED');
    expect(cause).toContain('no-such-job');
  });
});
