import { OpenAPIHono } from '@hono/zod-openapi';
import { VERSION } from '../core/version.ts';
import type { Api } from './api.ts';
import { mountOperations } from './mount.ts';

/** The OpenAPI 3.1 document of the table of operations. `docs/openapi.json` is this text. */
export function apiDocument() {
  const api: Api = new OpenAPIHono();
  // Only the definitions of the routes are used; none of their handlers is called.
  mountOperations(api, {
    context: undefined as never,
    allow: () => undefined,
    timeLeft: () => 0,
    accessList: async () => ({ keys: [] }),
  });
  api.openAPIRegistry.registerComponent('securitySchemes', 'key', {
    type: 'http',
    scheme: 'bearer',
    description: 'A key (`ngbak_…`), or a JSON Web Token where one is configured.',
  });
  return api.getOpenAPI31Document({
    openapi: '3.1.0',
    info: {
      title: 'ngbak',
      version: VERSION,
      description:
        'Backup and restore of GraphRAG systems. Every unsuccessful response is a problem document (RFC 9457).',
      license: { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
    },
    servers: [{ url: '/' }],
    security: [{ key: [] }],
  });
}
