/**
 * `node dashboard/screenshots.ts`: makes the images in docs/images, by a real browser on a deployment. NGBAK_API_URL says
 * which, NGBAK_API_KEY is a key of an admin there. Look at them before you commit them.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { bytes } from '../cli/format.ts';
import type { BackupList } from '../shared/operations/list-backups.ts';
import type { JobList } from '../shared/operations/list-jobs.ts';

const FOLDER = join(import.meta.dirname, '..', 'docs', 'images');
const WEBP_QUALITY = 80;
/** Longest that a page may take to be at rest, in milliseconds. */
const DEADLINE_MS = 60_000;
/** Charts and bars move into their places. */
const SETTLE_MS = 1500;

const { NGBAK_API_URL: url = '', NGBAK_API_KEY: key = '' } = process.env;
const api = async <T>(path: string) =>
  (await (await fetch(`${url}/api/v1/${path}`, { headers: { authorization: `Bearer ${key}` } })).json()) as T;
const { backups } = await api<BackupList>('backup?limit=1');
const { jobs } = await api<JobList>('jobs?kind=restore&limit=1');

interface Shot {
  readonly name: string;
  readonly path: string;
  readonly mode: 'light' | 'dark';
  readonly width: number;
  readonly height: number;
}
const wide = { width: 1280, height: 860 };
const SHOTS: Shot[] = [
  { name: 'home', path: '', mode: 'light', ...wide },
  { name: 'backups', path: 'backups', mode: 'dark', ...wide },
  { name: 'backup', path: `backup/${backups[0]?.backup_id}`, mode: 'light', ...wide },
  { name: 'restore', path: `job/${jobs[0]?.job_id}`, mode: 'light', ...wide },
  { name: 'narrow', path: '', mode: 'dark', width: 360, height: 780 },
];

if (!backups[0] || !jobs[0])
  throw new Error('The deployment needs a backup and a restore: `npm run demo -- --keep` makes both.');

const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'],
});
try {
  await mkdir(FOLDER, { recursive: true });
  for (const { name, path, mode, width, height } of SHOTS) {
    const context = await browser.newContext({
      viewport: { width, height },
      colorScheme: mode,
      reducedMotion: 'reduce',
    });
    await context.addInitScript((text) => sessionStorage.setItem('ngbak.key', text), key);
    const page = await context.newPage();
    await page.goto(`${url}/#/${path}`);
    await page.getByRole('heading', { level: 1 }).waitFor({ timeout: DEADLINE_MS });
    await page.waitForLoadState('networkidle', { timeout: DEADLINE_MS });
    await page.waitForTimeout(SETTLE_MS);
    const session = await context.newCDPSession(page);
    // Playwright itself writes PNG and JPEG only; WebP is a third of either.
    const { data } = await session.send('Page.captureScreenshot', { format: 'webp', quality: WEBP_QUALITY });
    const image = Buffer.from(data, 'base64');
    await writeFile(join(FOLDER, `dashboard-${name}.webp`), image);
    console.log(`${bytes(image.length).padStart(8)}  dashboard-${name}.webp`);
    await context.close();
  }
} finally {
  await browser.close();
}
