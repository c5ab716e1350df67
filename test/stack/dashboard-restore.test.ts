import { randomBytes } from 'node:crypto';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { StopExecutionCommand } from '@aws-sdk/client-sfn';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import type { Page } from 'playwright-core';
import { readJob } from '../../shared/workflows/job/record.ts';
import { findSafetyBackup } from '../../shared/workflows/restore/safety.ts';
import { until } from '../support/until.ts';
import { accessibilityProblems, focused, overflows, startBrowser, tabTo, type Visit } from './browser.ts';
import { DASHBOARD, fillTarget, readTarget } from './content.ts';
import { LOADS, whileHeld } from './held.ts';

/** Size of the parts of uploads; the last part of a file is shorter. */
const PART_BYTES = 16 * 1024 ** 2;

/** Timeout of one of these tests, in milliseconds: some wait for several workflows one after the other. */
const LONG_MS = 480_000;

let browser: Awaited<ReturnType<typeof startBrowser>>;
let folder: string;
let whole: unknown;
let file: string;
let backupId: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ngbak-dashboard-'));
  browser = await startBrowser();
  await fillTarget(DASHBOARD);
  whole = await readTarget(DASHBOARD);
});
afterEach(() => browser.closeVisits());
afterAll(async () => {
  await browser?.close();
  await rm(folder, { recursive: true, force: true });
});

const damage = () => fillTarget({ ...DASHBOARD, prefix: 'dashboard:damage:' });
const button = (page: Page, name: string) => page.getByRole('button', { name, exact: true });
const choose = (page: Page, path: string) => page.locator('input[type=file]').setInputFiles(path);
const jobIn = (page: Page) => /#\/(?:restore|job)\/([^/?]+)/.exec(page.url())?.[1] ?? '';

async function chooseTarget(page: Page, label: string): Promise<void> {
  await page.getByRole('button', { name: new RegExp(`^${label} `) }).click();
  await page.getByRole('option', { name: /^dashboard/ }).click();
}

/** Opens the wizard with a file and starts its upload; returns the job ID. */
async function upload({ page, open }: Visit, path: string): Promise<string> {
  await open('restore?from=file');
  await chooseTarget(page, 'Restore into');
  await choose(page, path);
  await button(page, 'Upload and inspect').click();
  await page.waitForURL(/#\/restore\/restore_/);
  return jobIn(page);
}

/** Whether a request sends a part of an upload to S3. */
const isPart = (url: URL) => url.searchParams.has('partNumber');

test(
  'a backup is created and followed to its end, with a bar for each store',
  async () => {
    const visit = await browser.visit({ role: 'operator' });
    const { page } = visit;
    await visit.open('create-backup');
    await chooseTarget(page, 'Target');
    await page.getByLabel('Tags').fill('by-dashboard, نسخة احتياطية');
    await page.getByLabel('Note').fill('made by a test');
    await page.getByLabel('For a number of days').check();
    await page.getByLabel('Days', { exact: true }).fill('0');
    await button(page, 'Create backup').click();
    await page.getByText('Enter a whole number of days').waitFor();
    await page.getByLabel('Days', { exact: true }).fill('3');
    await button(page, 'Create backup').click();
    await page.getByText('Backed up and verified').waitFor();
    for (const store of ['Graph', 'Vectors', 'Key-value data', 'Archive']) {
      await page.getByText(store, { exact: true }).first().waitFor();
    }
    expect(await page.title()).toBe('Completed: backup of dashboard – ngbak');
    const job = await browser.stack.waitForJob(jobIn(page));
    backupId = job.backup_id ?? '';

    await page.getByRole('link', { name: backupId }).first().click();
    await page.waitForURL(/#\/backup\//);
    const [download] = await Promise.all([page.waitForEvent('download'), button(page, 'Download').click()]);
    file = join(folder, download.suggestedFilename());
    await download.saveAs(file);
    expect(file).toMatch(/backup_\d{8}_\d{6}\.ngbak$/);
    expect((await readFile(file)).equals(await browser.stack.download(backupId))).toBe(true);
    visit.assertClean();
  },
  LONG_MS,
);

test(
  'a subset of a target is backed up, compared with the last backup of the same subset, and shown as partial',
  async () => {
    const visit = await browser.visit({ role: 'operator' });
    const { page } = visit;
    const fill = async () => {
      await visit.open('create-backup?target=dashboard');
      await page.getByText('Based on').waitFor();
      await button(page, 'Limit to a subset').click();
      await page.getByLabel('Vector collections').fill('dashboard_items');
    };
    await fill();
    await page.getByLabel('Node label').fill('Nobody');
    await page.getByText('There is no earlier backup of this scope').waitFor();
    await page.getByLabel('Node label').fill('');
    await button(page, 'Create backup').click();
    await page.getByText('Backed up and verified').waitFor();
    const job = await browser.stack.waitForJob(jobIn(page));
    await visit.open(`backup/${job.backup_id}`);
    await page.getByText('Partial: vectors: only collections dashboard_items').waitFor();
    await fill();
    await page.getByText('Based on').waitFor();
    visit.assertClean();
  },
  LONG_MS,
);

test(
  'a file is uploaded, inspected, inspected again with other options, confirmed by name, and restored with proof',
  async () => {
    await damage();
    const damaged = await readTarget(DASHBOARD);
    const visit = await browser.visit({ role: 'operator' });
    const { page } = visit;
    const job = await upload(visit, file);
    await page.getByText('Difference from dashboard').waitFor();
    await page.getByText('All bytes verified', { exact: true }).waitFor();

    await page.getByRole('tab', { name: 'Options' }).click();
    await page.waitForURL(/\/options$/);
    expect(await button(page, 'Inspect with these options').isEnabled()).toBe(false);
    await page.getByRole('button', { name: /^Stores / }).click();
    await page.getByRole('option', { name: 'Graph' }).click();
    await page.keyboard.press('Escape');
    await page.getByText('Back up the target first', { exact: true }).click();
    await button(page, 'Inspect with these options').click();
    await page.getByText('dashboard is not backed up first').first().waitFor();
    expect(await page.getByRole('row', { name: /Key-value data/ }).count()).toBe(0);
    expect(await readTarget(DASHBOARD)).toEqual(damaged);

    // All of it again, with a safety backup; after a reload, from the address alone.
    await page.getByRole('tab', { name: 'Options' }).click();
    await page.reload();
    await page.getByText('Back up the target first', { exact: true }).click();
    await page.getByRole('button', { name: /Graph/ }).first().click();
    await button(page, 'Inspect with these options').click();
    await page
      .getByRole('row', { name: /Key-value data/ })
      .first()
      .waitFor();

    await button(page, 'Next').click();
    await page.waitForURL(/\/confirm$/);
    await page.getByLabel(/Type the name of the target/).fill('default');
    await button(page, 'Restore now').click();
    await page.getByText('The name does not match the target.').waitFor();
    expect(await readTarget(DASHBOARD)).toEqual(damaged);
    // Another user, whose page still shows the findings for other options, cannot confirm these.
    const stale = await callApi(`restore/${job}/confirm`, {
      phrase: 'dashboard',
      inspected_at: '2026-01-01T00:00:00.000Z',
    });
    expect([stale.status, await stale.text()]).toEqual([400, expect.stringContaining('was inspected again')]);
    await page.getByLabel(/Type the name of the target/).fill('dashboard');
    await button(page, 'Restore now').click();
    await page.getByText('Restored and verified').waitFor();
    await page.getByText('Restored data').waitFor();
    expect(await readTarget(DASHBOARD)).toEqual(whole);
    expect((await browser.stack.waitForJob(job)).state).toBe('completed');
    visit.assertClean();
  },
  LONG_MS,
);

test('the newest good backup is then shown as proved by a restore', async () => {
  const visit = await browser.visit({ role: 'viewer' });
  await visit.open('');
  const target = visit.page.getByRole('region', { name: 'dashboard', exact: true });
  await target.getByText('Latest backup, just now').waitFor();
  visit.assertClean();
});

test(
  'the end of a job is reported on every page',
  async () => {
    const visit = await browser.visit({ role: 'operator' });
    await visit.open('settings');
    await visit.page.getByRole('heading', { name: 'Settings' }).first().waitFor();
    // Jobs that exist when the page is opened are not reported.
    await visit.page.waitForLoadState('networkidle');
    await browser.stack.run('Backup', { target: 'dashboard', stores: ['kv'] });
    await visit.page.getByText('Backup of dashboard completed').first().waitFor();
    visit.assertClean();
  },
  LONG_MS,
);

test(
  'a file that is not an archive is refused before anything is uploaded',
  async () => {
    const visit = await browser.visit({ role: 'operator' });
    const { page } = visit;
    await visit.open('restore?from=file');
    await chooseTarget(page, 'Restore into');
    const photo = join(folder, 'photo.ngbak');
    await writeFile(photo, Buffer.concat([Buffer.from('PK\x03\x04'), randomBytes(500)]));
    const text = join(folder, 'notes.txt');
    await writeFile(text, 'x'.repeat(500));
    for (const [path, told] of [
      [text, 'does not end in .ngbak'],
      [photo, 'it is a ZIP file'],
    ] as const) {
      await choose(page, path);
      await page.getByText(told).first().waitFor();
      expect(await button(page, 'Upload and inspect').isEnabled()).toBe(false);
    }
    visit.assertClean();
  },
  LONG_MS,
);

test(
  'a file that only looks like an archive is refused by its inspection, and nothing is changed',
  async () => {
    const before = await readTarget(DASHBOARD);
    const visit = await browser.visit({ role: 'operator' });
    const fake = join(folder, 'fake.ngbak');
    await writeFile(fake, gzipSync(randomBytes(4000)));
    const job = await upload(visit, fake);
    await visit.page.getByText('The restore failed').waitFor();
    expect((await browser.stack.waitForJob(job)).state).toBe('failed');
    expect(await readTarget(DASHBOARD)).toEqual(before);
    visit.assertClean();
  },
  LONG_MS,
);

test(
  'an upload resumes after a reload with the same file only, and sends the missing parts',
  async () => {
    const large = randomBytes(2 * PART_BYTES + 1000);
    gzipSync('x').copy(large);
    const [right, wrong] = [join(folder, 'large.ngbak'), join(folder, 'other.ngbak')];
    await writeFile(right, large);
    large[5000] = (large[5000] ?? 0) ^ 1;
    await writeFile(wrong, large);

    const visit = await browser.visit({ role: 'operator' });
    const { page } = visit;
    let sent: string[] = [];
    await page.route(isPart, async (route) => {
      const part = new URL(route.request().url()).searchParams.get('partNumber') ?? '';
      sent.push(part);
      // The second part never arrives: the tab is closed while it is in transit.
      if (part !== '2') await route.continue();
    });
    const job = await upload(visit, right);
    await expectParts(job, [1, 3]);
    page.on('dialog', (dialog) => dialog.accept());
    await page.reload();
    await page.getByText('The upload was interrupted').waitFor();
    await page.unroute(isPart);
    sent = [];
    page.on('request', (request) => {
      const part = new URL(request.url()).searchParams.get('partNumber');
      if (part !== null && request.method() === 'PUT') sent.push(part);
    });

    await choose(page, wrong);
    await button(page, 'Resume').click();
    await page.getByText('This is not the file that the upload was started with').waitFor();
    expect(sent).toEqual([]);
    await button(page, 'Choose the file again').click();
    await choose(page, right);
    await button(page, 'Resume').click();
    await page.getByText('The restore failed').waitFor();
    expect(sent).toEqual(['2']);
    visit.assertClean();
  },
  LONG_MS,
);

test(
  'an upload waits without a network and resumes when it is back; its file may have a name in any script',
  async () => {
    const named = join(folder, 'גיבוי של المعرفة.ngbak');
    await copyFile(file, named);
    const visit = await browser.visit({ role: 'operator', alone: true });
    const { page, context } = visit;
    let tries = 0;
    await page.route(isPart, async (route) => {
      if (++tries > 1) return route.continue();
      await context.setOffline(true);
      await route.abort('internetdisconnected');
    });
    const job = await upload(visit, named);
    await page.getByText('Waiting for the network').first().waitFor();
    await page.getByText('גיבוי של المعرفة.ngbak').first().waitFor();
    // Longer than the first delays between attempts: nothing is attempted while it could not succeed.
    await page.waitForTimeout(3000);
    expect(tries).toBe(1);
    await expectParts(job, []);
    await context.setOffline(false);
    await page.getByText('Difference from dashboard').waitFor();
    expect(tries).toBe(2);
    await page.getByRole('tab', { name: 'Confirm' }).click();
    await button(page, 'Reject').click();
    expect((await browser.stack.waitForJob(job)).state).toBe('cancelled');
    visit.assertClean();
  },
  LONG_MS,
);

test(
  'a job that disappears while it is shown is reported as missing',
  async () => {
    const visit = await browser.visit({ role: 'operator' });
    const { page } = visit;
    // No part ever arrives.
    await page.route(isPart, () => undefined);
    const job = await upload(visit, file);
    await button(page, 'Pause').click();
    await browser.stack.bucket.removeAll(`jobs/${job}/`);
    await page.getByText('Job not found').waitFor();
    expect(await button(page, 'Resume').count()).toBe(0);
    visit.assertClean();
  },
  LONG_MS,
);

test(
  'a restore is done with the keyboard alone, from the choice of the backup to its proof',
  async () => {
    await damage();
    const visit = await browser.visit({ role: 'operator' });
    const { page } = visit;
    await visit.open('restore');
    await page.getByRole('radio', { name: `Choose ${backupId}` }).waitFor();
    await tabTo(page, (html) => html.includes('type="radio"') && !html.includes('value="backup"'));
    const chosen = page.getByRole('radio', { name: `Choose ${backupId}` });
    for (let i = 0; i < 20 && !(await chosen.isChecked()); i++)
      await page.keyboard.press(i === 0 ? 'Space' : 'ArrowDown');
    expect(await chosen.isChecked()).toBe(true);
    await tabTo(page, (html) => html.includes('>Inspect<'));
    await page.keyboard.press('Enter');
    await page.getByText('Difference from dashboard').waitFor();
    await tabTo(page, (html) => html.includes('role="tab"'));
    for (let i = 0; i < 5 && !(await focused(page)).includes('Confirm'); i++)
      await page.keyboard.press('ArrowRight');
    await page.keyboard.press('Enter');
    await page.getByLabel(/Type the name of the target/).waitFor();
    await tabTo(page, (html) => html.startsWith('<input'));
    await page.keyboard.type('dashboard');
    await page.keyboard.press('Enter');
    await page.getByText('Restored and verified').waitFor();
    expect(await readTarget(DASHBOARD)).toEqual(whole);
    visit.assertClean();
  },
  LONG_MS,
);

test(
  'a restore that fails is shown in every tab as rolled back, with the cause and the safety backup',
  async () => {
    await damage();
    const before = await readTarget(DASHBOARD);
    const visit = await browser.visit({ role: 'operator' });
    const { page } = visit;
    await visit.open(`restore?backup=${backupId}`);
    await button(page, 'Inspect').click();
    await page.getByText('Difference from dashboard').waitFor();
    const job = jobIn(page);
    await visit.open(`restore/${job}/confirm`);
    const other = await browser.visit({ role: 'viewer', mode: 'dark', narrow: true });
    await other.open(`restore/${job}/confirm`);
    await page.getByLabel(/Type the name of the target/).fill('dashboard');
    await whileHeld(LOADS, async () => {
      await button(page, 'Restore now').click();
      await until('there is a safety backup', () => findSafetyBackup(browser.stack.bucket, job), {
        deadlineMs: 300_000,
      });
      const { execution_arn } = (await readJob(browser.stack.bucket, job)) ?? {};
      await browser.stack.sfn.send(
        new StopExecutionCommand({
          executionArn: execution_arn,
          error: 'Stopped',
          cause: 'A test stopped it.',
        }),
      );
    });
    expect((await browser.stack.waitForJob(job)).state).toBe('rolled_back');
    for (const tab of [page, other.page]) {
      await tab.getByText('Rolled back: dashboard has its previous contents').waitFor();
      await tab
        .getByText(/(A test stopped it|The execution was stopped)\. The target was rolled back to snapshot_/)
        .first()
        .waitFor();
      expect(await accessibilityProblems(tab)).toEqual([]);
      expect(await overflows(tab)).toBe(false);
    }
    expect(await readTarget(DASHBOARD)).toEqual(before);
    visit.assertClean();
    other.assertClean();
  },
  LONG_MS,
);

test(
  'an upload that is cancelled leaves nothing in S3, and ends its job',
  async () => {
    const visit = await browser.visit({ role: 'operator' });
    const { page } = visit;
    // No part ever arrives.
    await page.route(isPart, () => undefined);
    const job = await upload(visit, file);
    const other = await browser.visit({ role: 'operator' });
    await other.page.goto(page.url());
    await other.page.getByText('Another tab is uploading this file').waitFor();
    await other.close();

    await button(page, 'Pause').click();
    await page.getByText('Paused').waitFor();
    await button(page, 'Cancel upload').click();
    await page.getByText('Cancelled').first().waitFor();
    expect((await browser.stack.waitForJob(job)).state).toBe('cancelled');
    expect(await browser.stack.keys(`uploads/${job}`)).toEqual([]);
    visit.assertClean();
  },
  LONG_MS,
);

test(
  'a session that expires in the middle asks for a key and returns to the same step',
  async () => {
    const visit = await browser.visit({ role: 'operator' });
    const { page } = visit;
    await visit.open(`restore?backup=${backupId}`);
    await button(page, 'Inspect').click();
    await page.getByText('Difference from dashboard').waitFor();
    await page.getByRole('tab', { name: 'Confirm' }).click();
    const address = page.url();
    // The function caches keys for a minute: its response for an expired key is mocked here.
    const refused = {
      status: 401,
      type: 'about:blank',
      title: 'Not authenticated',
      detail: 'No.',
      remedy: 'Sign in.',
    };
    await page.route('**/api/v1/**', (route) =>
      route.fulfill({ status: 401, contentType: 'application/problem+json', body: JSON.stringify(refused) }),
    );
    await page.getByText('Invalid or expired key').waitFor();
    await page.unroute('**/api/v1/**');
    await page.getByLabel('Key').fill(browser.stack.apiKey('operator'));
    await button(page, 'Sign in').click();
    await page.getByLabel(/Type the name of the target/).waitFor();
    expect(page.url()).toBe(address);
    await button(page, 'Reject').click();
    await page.getByText('Cancelled').first().waitFor();
    visit.assertClean();
  },
  LONG_MS,
);

test(
  'a viewer sees everything and can change nothing, with the reason',
  async () => {
    const operator = await browser.visit({ role: 'operator' });
    await operator.open(`restore?backup=${backupId}`);
    await button(operator.page, 'Inspect').click();
    await operator.page.getByText('Difference from dashboard').waitFor();
    const job = jobIn(operator.page);

    const visit = await browser.visit({ role: 'viewer' });
    const { page } = visit;
    const blocked = async (path: string, name: string) => {
      await visit.open(path);
      await button(page, name).waitFor();
      expect([path, await button(page, name).getAttribute('aria-disabled')]).toEqual([path, 'true']);
      await button(page, name).focus();
      await page.getByText('This requires the role operator').locator('visible=true').first().waitFor();
    };
    await blocked('create-backup', 'Create backup');
    await blocked(`restore?backup=${backupId}`, 'Inspect');
    await blocked(`restore/${job}/options`, 'Inspect with these options');
    await blocked(`restore/${job}/confirm`, 'Restore now');
    await blocked(`job/${job}`, 'Cancel job');
    visit.assertClean();

    await operator.open(`restore/${job}/confirm`);
    await button(operator.page, 'Reject').click();
    await browser.stack.waitForJob(job);
  },
  LONG_MS,
);

test(
  'a job that does not exist, or disappears, is reported as missing',
  async () => {
    const visit = await browser.visit({ role: 'viewer' });
    await visit.open('job/backup_of-long-ago');
    await visit.page.getByText('Job not found').waitFor();
    await visit.open('restore/restore_of-long-ago');
    await visit.page.getByText('Job not found').waitFor();
    visit.assertClean();
  },
  LONG_MS,
);

test.each([
  { mode: 'light' as const, narrow: false },
  { mode: 'dark' as const, narrow: true },
])(
  'axe finds no violations and nothing scrolls sideways: %o',
  async (options) => {
    const operator = await browser.visit({ role: 'operator', ...options });
    const { page } = operator;
    await operator.open(`restore?backup=${backupId}`);
    await button(page, 'Inspect').click();
    await page.getByText('Difference from dashboard').waitFor();
    const job = jobIn(page);
    const made = (await browser.stack.keys('jobs/')).find((key) =>
      /^jobs\/backup_[^/]*\/job.json$/.test(key),
    );
    const views: [path: string, text: string][] = [
      [`restore/${job}/report`, 'Difference from dashboard'],
      [`restore/${job}/options`, 'Inspect with these options'],
      [`restore/${job}/confirm`, 'Restore now'],
      [`job/${job}`, 'Open in the restore wizard'],
      [`job/${made?.split('/')[1]}`, 'Backed up and verified'],
      ['jobs', 'Requested by'],
      ['restore', 'Verification'],
      ['restore?from=file', 'Choose file'],
      ['create-backup?target=dashboard', 'Based on'],
    ];
    const found: unknown[] = [];
    for (const [path, text] of views) {
      await operator.open(path);
      await page.getByText(text).first().waitFor();
      // A tooltip under the pointer is not part of the page.
      await page.mouse.move(0, 0);
      const problems = await accessibilityProblems(page);
      const wide = await overflows(page);
      if (problems.length > 0 || wide) found.push({ path, problems, wide });
    }
    await operator.open(`restore/${job}/confirm`);
    await button(page, 'Reject').click();
    await browser.stack.waitForJob(job);
    expect(found).toEqual([]);
    operator.assertClean();
  },
  LONG_MS,
);

/** Calls the API as an operator; with a body, by POST. */
function callApi(path: string, body?: object): Promise<Response> {
  return fetch(`${browser.stack.apiUrl()}/api/v1/${path}`, {
    ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
    headers: {
      authorization: `Bearer ${browser.stack.apiKey('operator')}`,
      'content-type': 'application/json',
    },
  });
}

/** Waits until S3 has exactly these parts of a job's upload. */
async function expectParts(job: string, wanted: number[]): Promise<void> {
  const look = async () => {
    const answer = await callApi(`restore/${job}/parts`);
    const { parts } = (await answer.json()) as { parts: { number: number }[] };
    return parts.map(({ number }) => number);
  };
  await until(`S3 has the parts ${wanted} of ${job}`, look, {
    holds: (parts) => parts.join() === wanted.join(),
    deadlineMs: 240_000,
  });
}
