import { join } from 'node:path';
import { installQdrant } from '../install/qdrant.ts';
import { expectOk, installContext, type QdrantAddress, type ServiceContext, startServer } from './service.ts';

/** Starts a Qdrant server with this API key, on two ports of 127.0.0.1: HTTP and gRPC. */
export async function startQdrant(
  context: ServiceContext,
  [http, grpc]: readonly [number, number],
  apiKey: string,
): Promise<QdrantAddress> {
  const command = await installQdrant(installContext('qdrant', context));
  const data = join(context.folder, 'qdrant');
  const address = { url: `http://127.0.0.1:${http}`, apiKey };
  await startServer('qdrant', context, {
    command,
    args: [],
    env: {
      QDRANT__SERVICE__HOST: '127.0.0.1',
      QDRANT__SERVICE__HTTP_PORT: String(http),
      QDRANT__SERVICE__GRPC_PORT: String(grpc),
      QDRANT__SERVICE__API_KEY: apiKey,
      QDRANT__STORAGE__STORAGE_PATH: join(data, 'storage'),
      QDRANT__STORAGE__SNAPSHOTS_PATH: join(data, 'snapshots'),
      QDRANT__STORAGE__TEMP_PATH: join(data, 'temp'),
      // Small collections, of which there are many: what each of them takes at least is half of it.
      QDRANT__STORAGE__OPTIMIZERS__DEFAULT_SEGMENT_NUMBER: '1',
      QDRANT__STORAGE__WAL__WAL_CAPACITY_MB: '1',
      QDRANT__TELEMETRY_DISABLED: 'true',
    },
    check: () => checkQdrant(address),
  });
  return address;
}

/** Throws unless the server is ready and accepts this API key. */
export async function checkQdrant({ url, apiKey }: QdrantAddress): Promise<void> {
  await expectOk(`${url}/readyz`);
  await expectOk(`${url}/collections`, { 'api-key': apiKey });
}
