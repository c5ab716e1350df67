import { readdirSync, readFileSync } from 'node:fs';
import { extname, join, sep } from 'node:path';
import type { Context } from 'hono';
import { NotFoundError } from '../core/refusals.ts';
import type { Api } from './api.ts';

/** Folder of the dashboard within the bundle of the API's function. */
export const DASHBOARD_FOLDER = 'dashboard';

/** Content types of the files in a build of the dashboard. Files with other extensions are not served. */
const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain; charset=utf-8',
};
/** Files in this folder have a hash of their content in their name, so they can be cached forever. */
const HASHED = 'assets/';
const INDEX = 'index.html';

/** The dashboard's files. Only files in this list are served, whatever the path of a request. */
export interface Pages {
  /**
   * Output folder of `npm run dashboard:build`: each file, and `<file>.br`, compressed with brotli, if that is smaller.
   */
  readonly folder: string;
  /** Origins other than the API's own that the page may connect to: the bucket's, for uploads and downloads. */
  connectTo(): Promise<readonly string[]>;
}

/** Serves the dashboard at the root of the API. It is self-contained: nothing is loaded from other hosts. */
export function pageRoutes(api: Api, { folder, connectTo }: Pages): void {
  const files = new Set(
    readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((path) => path.replaceAll(sep, '/')),
  );
  let policy: Promise<string> | undefined;

  async function serve(c: Context, path: string) {
    const type = TYPES[extname(path)];
    if (type === undefined || !files.has(path)) {
      throw new NotFoundError('The dashboard has no such file.', {
        remedy: 'Reload the page: a newer version may have been deployed.',
      });
    }
    const brotli = files.has(`${path}.br`) && /\bbr\b/.test(c.req.header('accept-encoding') ?? '');
    policy ??= connectTo().then(contentSecurityPolicy);
    return c.body(readFileSync(join(folder, brotli ? `${path}.br` : path)), 200, {
      'Content-Type': type,
      'Cache-Control': path.startsWith(HASHED) ? 'public, max-age=31536000, immutable' : 'no-cache',
      Vary: 'Accept-Encoding',
      ...(brotli ? { 'Content-Encoding': 'br' } : {}),
      'Content-Security-Policy': await policy,
      'Permissions-Policy': 'camera=(), geolocation=(), microphone=(), payment=(), usb=()',
    });
  }
  api.get('/', (c) => serve(c, INDEX));
  for (const path of files) {
    if (TYPES[extname(path)] !== undefined) api.get(`/${path}`, (c) => serve(c, path));
  }
}

/** Allows only ngbak's own files and calls: no inline scripts or styles, frames, forms, or other hosts. */
function contentSecurityPolicy(connectTo: readonly string[]): string {
  return [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    `connect-src ${["'self'", ...connectTo].join(' ')}`,
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
  ].join('; ');
}
