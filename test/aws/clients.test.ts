import { connect, createServer, type Server, type Socket } from 'node:net';
import { Worker } from 'node:worker_threads';
import { GetObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { DescribeExecutionCommand, SFNClient } from '@aws-sdk/client-sfn';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { z } from 'zod';
import { Bucket } from '../../shared/aws/bucket.ts';
import { awsClient } from '../../shared/aws/clients.ts';
import { loadSecret } from '../../shared/aws/secrets.ts';
import { sendS3 } from '../../shared/aws/send-s3.ts';
import { UnavailableError } from '../../shared/core/errors.ts';

const credentials = { accessKeyId: 'x', secretAccessKey: 'x' };

/** Listens and never accepts: once its backlog is full, packets are dropped, as by a security group. */
const LISTENER = `
  const { createServer } = require('node:net');
  const { parentPort } = require('node:worker_threads');
  const server = createServer().listen({ host: '127.0.0.1', port: 0, backlog: 1 }, () => {
    parentPort.postMessage(server.address().port);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  });`;
let listener: Worker;
let surroundings = { region: 'eu-central-1', endpoint: '', credentials };

/** Accepts connections and never responds. */
let silent: Server;
const sockets = new Set<Socket>();
let silentAddress = '';
beforeAll(async () => {
  listener = new Worker(LISTENER, { eval: true });
  const port = await new Promise<number>((resolve) => listener.once('message', resolve));
  surroundings = { ...surroundings, endpoint: `http://127.0.0.1:${port}` };
  for (let count = 0; count < 4; count++)
    sockets.add(connect(port, '127.0.0.1').on('error', () => undefined));
  silent = createServer((socket) => sockets.add(socket));
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const address = silent.address();
  silentAddress = typeof address === 'object' && address !== null ? `http://127.0.0.1:${address.port}` : '';
});
afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  silent.close();
  await listener.terminate();
});

const fails = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );

test('an endpoint that is unreachable or never responds is reported instead of a hang, with what a VPC needs', async () => {
  const s3 = () => awsClient('s3', S3Client, { ...surroundings, forcePathStyle: true });
  const sfn = awsClient('states', SFNClient, surroundings);
  const secrets = awsClient('secretsmanager', SecretsManagerClient, surroundings);
  const silentSecrets = awsClient('secretsmanager', SecretsManagerClient, {
    ...surroundings,
    endpoint: silentAddress,
  });
  const [record, streamed, execution, secret, unanswered] = await Promise.all([
    fails(new Bucket('archive', s3()).readRecord('jobs/x/job.json', z.unknown())),
    fails(sendS3(s3(), 'read', new GetObjectCommand({ Bucket: 'archive', Key: 'x' }))),
    fails(
      sfn.send(new DescribeExecutionCommand({ executionArn: 'arn:aws:states:eu-central-1:1:execution:a:b' })),
    ),
    fails(loadSecret('Ngbak/default/graph', z.unknown(), 'the graph', secrets)),
    fails(loadSecret('Ngbak/default/kv', z.unknown(), 'the keys', silentSecrets)),
  ]);
  for (const error of [record, streamed, execution, secret, unanswered])
    expect(error).toBeInstanceOf(UnavailableError);
  expect(record).toMatchObject({
    message: "S3 can't be reached at 127.0.0.1: no connection was established.",
    remedy: expect.stringContaining('a gateway endpoint for S3'),
  });
  expect(streamed).toMatchObject({ remedy: expect.stringContaining('a gateway endpoint for S3') });
  expect(execution).toMatchObject({
    message: expect.stringContaining("Step Functions can't be reached"),
    remedy: expect.stringContaining('an interface endpoint for "states" whose security group'),
  });
  expect(secret).toMatchObject({
    message: expect.stringMatching(/^The secret of the graph .* Secrets Manager can't be reached/),
    remedy: expect.stringContaining('"secretsmanager"'),
  });
});
