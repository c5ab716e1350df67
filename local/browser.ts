import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';
import { installChromium } from './install/chromium.ts';

/**
 * Starts a headless Chromium, which is installed first if this machine has none. Its files and Playwright's are
 * written to a temporary folder, which `close` removes.
 */
export async function startChromium(
  environment: NodeJS.ProcessEnv = process.env,
): Promise<{ browser: Browser; close(): Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'ngbak-browser-'));
  const remove = () => rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  try {
    const program = await installChromium({
      environment,
      signal: new AbortController().signal,
      log: join(folder, 'install.log'),
      onInstall: () => undefined,
    });
    const browser = await chromium.launch({
      executablePath: program.path,
      artifactsDir: folder,
      env: { ...environment, ...program.environment, HOME: folder, XDG_CACHE_HOME: folder, TMPDIR: folder },
      // It only loads our own pages. Its sandbox requires privileges that root in a container, and users of some
      // distributions, do not have.
      args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'],
    });
    return {
      browser,
      async close() {
        await browser.close();
        await remove();
      },
    };
  } catch (error) {
    await remove();
    throw error;
  }
}
