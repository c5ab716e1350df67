/**
 * `node dashboard/screenshots.ts [name…]`: creates the images in docs/images, with a real browser on a deployment.
 * NGBAK_API_URL is its address, NGBAK_API_KEY a key of an admin there; it needs a backup, a completed restore and a
 * waiting one. NGBAK_PAGES_URL uses other pages than the deployed ones, such as those of `npx vite dashboard`. With
 * `--png` they are PNG files in the folder `--png` names, for review. Review each image before it is committed.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Page } from 'playwright-core';
import { bytes } from '../cli/format.ts';
import { startChromium } from '../local/browser.ts';
import type { BackupList } from '../shared/operations/list-backups.ts';
import type { JobList } from '../shared/operations/list-jobs.ts';

const FOLDER = join(import.meta.dirname, '..', 'docs', 'images');
/** Small enough for a README, and below 60 kB each. */
const WEBP_QUALITY = 70;
/** Longest time for a page to settle, in milliseconds. */
const DEADLINE_MS = 60_000;
/** Duration of the animations of charts and bars. */
const SETTLE_MS = 1500;
const WIDE = { width: 1280, height: 860 };
const LOOKS = {
  light: { colorScheme: 'light', viewport: WIDE },
  dark: { colorScheme: 'dark', viewport: WIDE },
  narrow: { colorScheme: 'light', viewport: { width: 360, height: 780 } },
} as const;

const { values, positionals } = parseArgs({ options: { png: { type: 'string' } }, allowPositionals: true });
const { NGBAK_API_URL: url = '', NGBAK_API_KEY: key = '', NGBAK_PAGES_URL: pages = url } = process.env;
const api = async <T>(path: string) =>
  (await (await fetch(`${url}/api/v1/${path}`, { headers: { authorization: `Bearer ${key}` } })).json()) as T;
const { backups } = await api<BackupList>('backup?type=full&limit=1');
const job = async (query: string) => (await api<JobList>(`jobs?limit=1&${query}`)).jobs[0]?.job_id;
const done = await job('kind=restore&state=completed');
const waiting = await job('state=awaiting_confirmation');
const backup = backups[0]?.backup_id;
if (!backup || !done || !waiting) {
  throw new Error(
    'The deployment needs a full backup, a restore that is done, and one that waits for its confirmation.',
  );
}

interface Shot {
  readonly name: string;
  readonly path: string;
  /** Actions on the page before the image is taken. */
  readonly act?: (page: Page) => Promise<void>;
  readonly signedOut?: true;
}
const SHOTS: readonly Shot[] = [
  { name: 'sign-in', path: '', signedOut: true },
  { name: 'home', path: '' },
  { name: 'backups', path: 'backups' },
  { name: 'backup', path: `backup/${backup}` },
  { name: 'create-backup', path: 'create-backup' },
  { name: 'restore-choose', path: `restore?backup=${backup}` },
  { name: 'restore-file', path: 'restore?from=file' },
  { name: 'restore-inspection', path: `restore/${waiting}/report` },
  { name: 'restore-options', path: `restore/${waiting}/options` },
  { name: 'restore-confirm', path: `restore/${waiting}/confirm` },
  { name: 'restore-result', path: `restore/${done}` },
  { name: 'jobs', path: 'jobs' },
  { name: 'job', path: `job/${done}` },
  { name: 'schedules', path: 'schedules' },
  { name: 'schedule', path: 'schedules/weekdays-early/edit' },
  {
    name: 'retention',
    path: 'schedules',
    act: async (page) => {
      await page.getByLabel('Newest').fill('1');
      await page.getByRole('button', { name: 'Preview', exact: true }).click();
      await page.getByText('would be deleted').waitFor();
      await page.getByRole('heading', { name: 'Retention' }).scrollIntoViewIfNeeded();
      await page.evaluate('scrollBy(0, 10000)');
    },
  },
  { name: 'settings', path: 'settings' },
];

const { browser, close } = await startChromium();
try {
  const folder = values.png ?? FOLDER;
  await mkdir(folder, { recursive: true });
  for (const { name, path, act, signedOut } of SHOTS) {
    if (positionals.length > 0 && !positionals.includes(name)) continue;
    for (const [look, settings] of Object.entries(LOOKS)) {
      const context = await browser.newContext({ ...settings, reducedMotion: 'reduce' });
      if (!signedOut) await context.addInitScript((text) => sessionStorage.setItem('ngbak.key', text), key);
      const page = await context.newPage();
      page.setDefaultTimeout(DEADLINE_MS);
      await page.goto(`${pages}/#/${path}`);
      await page.getByRole('heading', { level: 1 }).first().waitFor();
      await page.waitForLoadState('networkidle');
      for (const loading of await page.getByText(/^Loading /).all())
        await loading.waitFor({ state: 'detached' });
      await act?.(page);
      await page.waitForTimeout(SETTLE_MS);
      const session = await context.newCDPSession(page);
      // Playwright itself writes PNG and JPEG only; WebP is a third of the size of either.
      const { data } = await session.send(
        'Page.captureScreenshot',
        values.png === undefined ? { format: 'webp', quality: WEBP_QUALITY } : { format: 'png' },
      );
      const image = Buffer.from(data, 'base64');
      const file = `${name}-${look}.${values.png === undefined ? 'webp' : 'png'}`;
      await writeFile(join(folder, file), image);
      console.log(`${bytes(image.length).padStart(8)}  ${file}`);
      await context.close();
    }
  }
} finally {
  await close();
}
