import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { Page } from 'playwright-core';
import { catalogKey } from '../../shared/aws/keys.ts';
import { readListed } from '../../shared/catalog/list.ts';
import { catalogEntries } from '../../shared/catalog/read.ts';
import type { BackupCopy } from '../../shared/core/copies.ts';
import type { Contents } from '../../shared/operations/contents.ts';
import { updateCopy } from '../../shared/workflows/copy/progress.ts';
import { NIGHTLY } from '../nightly.ts';
import { idAt } from '../support/backup-id.ts';
import { catalogue } from '../support/catalog.ts';
import { until } from '../support/until.ts';
import { accessibilityProblems, focused, overflows, startBrowser, tabTo } from './browser.ts';
import { fillTarget, VIEWS } from './content.ts';

const DAY_MS = 86_400_000;
/** Records of a former target, for pages and orders: more than two pages of twenty. */
const PAST = 45;
const PAST_TARGET = 'museum';
/** Records of years ago, a day apart, as a large catalog. */
const MANY = 1000;

let browser: Awaited<ReturnType<typeof startBrowser>>;
let backupId: string;
const past: string[] = [];

beforeAll(async () => {
  browser = await startBrowser();
  await fillTarget(VIEWS);
  const made = await browser.stack.run('Backup', { target: 'views', tags: ['متحف'], note: 'قبل الترحيل' });
  backupId = (JSON.parse(made.output ?? '{}') as { backup_id?: string }).backup_id ?? '';
  await Promise.all(
    Array.from({ length: PAST }, (_, i) => {
      const created = new Date(Date.now() - (i + 1) * DAY_MS);
      past[i] = idAt(created);
      return catalogue(browser.stack.bucket, {
        backup_id: past[i],
        target: PAST_TARGET,
        created_at: created.toISOString(),
        duration_seconds: ((i + 1) * 31) % 67,
        retention: 'permanent',
        tags: (i + 1) % 10 === 0 ? ['weekly'] : [],
        ...(i === 3
          ? {
              verification: {
                state: 'damaged',
                at: created.toISOString(),
                problems: ['kv/docs.json is not as written'],
              },
            }
          : {}),
      });
    }),
  );
});
afterEach(() => browser.closeVisits());
afterAll(async () => {
  await browser?.close();
  await Promise.all(past.map((id) => browser.stack.bucket.removeAll(catalogKey(id))));
});

const button = (page: Page, name: string) => page.getByRole('button', { name, exact: true });
/** The first column of the list: times, as links. */
const timesIn = (page: Page) =>
  page.locator('tbody th a').evaluateAll((links) => links.map((link) => link.getAttribute('href')));

describe('the pages served by the API', () => {
  test('the index is revalidated each time, hashed files never, and a first visit loads less than 400 kB', async () => {
    const index = await fetch(browser.root, { headers: { 'accept-encoding': 'br' } });
    const html = await index.text();
    expect(index.headers.get('cache-control')).toBe('no-cache');
    const names = [...html.matchAll(/(?:src|href)="\.\/(assets\/[^"]+)"/g)].map(([, name = '']) => name);
    expect(names.length).toBeGreaterThan(1);
    let bytes = html.length;
    for (const name of names) {
      // As bytes that fetch does not decompress: the emulator states their encoding.
      const answer = await fetch(browser.root + name, { headers: { 'accept-encoding': 'br' } });
      expect(answer.headers.get('content-encoding')).toBe('br');
      expect(answer.headers.get('cache-control')).toContain('immutable');
      bytes += Number(answer.headers.get('content-length'));
      const plain = await fetch(browser.root + name, { headers: { 'accept-encoding': 'identity' } });
      expect(await plain.text()).toBe(await answer.text());
    }
    expect(bytes).toBeLessThan(400_000);
  });

  test('the policy allows no inline script or style, no frame, and no host but the API and the bucket', async () => {
    const { headers } = await fetch(browser.root);
    const policy = headers.get('content-security-policy') ?? '';
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toContain('unsafe');
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('referrer-policy')).toBe('no-referrer');
  });

  test.each(['assets/../index.mjs', 'index.mjs', 'dashboard/index.html', 'assets/', '%2e%2e/index.mjs'])(
    'nothing else of the function is served: %s',
    async (path) => {
      const answer = await fetch(browser.root + path);
      expect(answer.status).toBe(404);
      expect(await answer.text()).not.toContain('import');
    },
  );
});

test('without a valid key access is refused; with one the requested page opens', async () => {
  const visit = await browser.visit();
  const { page } = visit;
  await visit.open(`backup/${backupId}`);
  await page.getByLabel('Key', { exact: true }).fill('two words');
  await button(page, 'Sign in').click();
  await page.getByText('A key is a single word').waitFor();
  await page.getByLabel('Key', { exact: true }).fill('ngbak_wrong');
  await page.keyboard.press('Enter');
  await page.getByText('Invalid or expired key').waitFor();
  await page.getByLabel('Key', { exact: true }).fill(browser.stack.apiKey('viewer'));
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'Retention and tags' }).waitFor();
  await page.reload();
  await page.getByRole('heading', { name: 'Retention and tags' }).waitFor();
  await button(page, 'Signed in as test-viewer, viewer').click();
  await page.getByRole('menuitem', { name: 'Sign out' }).click();
  await page.getByLabel('Key', { exact: true }).waitFor();
  expect(await page.evaluate('sessionStorage.getItem("ngbak.key")')).toBeNull();
  visit.assertClean();
});

test('Home shows for each target whether it is recoverable', async () => {
  const visit = await browser.visit({ role: 'viewer' });
  const { page } = visit;
  await visit.open('');
  await page.getByRole('heading', { name: PAST_TARGET }).waitFor();
  const target = (name: string) => page.getByRole('region', { name, exact: true });
  await target('views').getByText('Yes', { exact: true }).waitFor();
  await target(PAST_TARGET).getByText('1 backup failed verification.', { exact: false }).waitFor();
  // Its backups never succeed.
  await target('missing').getByText('The target has no backups.', { exact: false }).waitFor();
  await page.getByRole('heading', { name: 'Archive size' }).waitFor();
  visit.assertClean();
});

test.each([false, true])(
  'the calendar shows each day of a target, by keyboard as well; narrow: %s',
  async (narrow) => {
    const visit = await browser.visit({ role: 'viewer', narrow });
    const { page } = visit;
    await visit.open('');
    await page.getByText('Failures are known since').waitFor();
    await page.getByRole('button', { name: /^Target / }).click();
    await page.getByRole('option', { name: PAST_TARGET }).click();
    /** On a phone, the periods are a list. */
    const choosePeriod = async (from: string, to: string) => {
      if (!narrow) return button(page, to).click();
      await page.getByRole('button', { name: new RegExp(`${from}$`) }).click();
      await page.getByRole('option', { name: to, exact: true }).click();
    };
    const dateOf = (daysAgo: number) =>
      new Date(Date.now() - daysAgo * DAY_MS).toLocaleDateString('en-GB', {
        day: 'numeric',
        month: 'long',
        year: 'numeric',
        timeZone: 'Europe/Berlin',
      });
    const day = (daysAgo: number) => page.getByRole('button', { name: new RegExp(`^${dateOf(daysAgo)}: `) });
    await until('the day is marked as damaged', async () =>
      /1 damaged$/.test((await day(4).getAttribute('aria-label')) ?? ''),
    );
    expect(await page.locator('.calendar-months button').count()).toBe(31);
    // One tab stop; the arrow keys reach the other days.
    const today = day(0);
    await today.focus();
    for (const key of ['ArrowUp', 'ArrowRight', 'ArrowRight', 'ArrowRight']) await page.keyboard.press(key);
    expect(await focused(page)).toContain(`aria-label="${dateOf(4)}: `);
    await page.keyboard.press('Enter');
    expect(await day(4).getAttribute('aria-pressed')).toBe('true');
    expect(await accessibilityProblems(page)).toEqual([]);
    await choosePeriod('Month', 'Year');
    await until(
      'the calendar has a year',
      async () => (await page.locator('.calendar-months button').count()) === 366,
    );
    expect(await accessibilityProblems(page)).toEqual([]);
    expect(await overflows(page)).toBe(false);
    await choosePeriod('Year', 'Month');
    await day(4).click();
    await page.getByRole('link', { name: 'Backups of this day' }).click();
    await page.getByRole('heading', { name: 'Backups (1)' }).waitFor();
    visit.assertClean();
  },
);

test('the list is paged by cursor, sorts, filters, and keeps its state in the address', async () => {
  const visit = await browser.visit({ role: 'viewer' });
  const { page } = visit;
  await visit.open(`backups?target=${PAST_TARGET}`);
  await page.getByRole('heading', { name: `Backups (${PAST})` }).waitFor();
  const seen = new Set(await timesIn(page));
  expect(seen.size).toBe(20);
  for (let number = 2; number <= 3; number++) {
    await button(page, 'Next page').click();
    await page.waitForURL(new RegExp(`page=${number}`));
    await until('the next page is listed', async () => {
      const links = await timesIn(page);
      return links.length > 0 && links.every((link) => !seen.has(link));
    });
    for (const link of await timesIn(page)) seen.add(link);
  }
  expect(seen).toEqual(new Set(past.map((id) => `#/backup/${id}`)));
  await page.goBack();
  await page.reload();
  await until('the first page is listed', async () => (await timesIn(page))[0] === `#/backup/${past[20]}`);

  await visit.open(`backups?target=${PAST_TARGET}`);
  await page.getByRole('columnheader', { name: 'Duration' }).getByRole('button').press('Enter');
  await page.waitForURL(/sort=duration/);
  const durations = () => page.locator('tbody tr td:nth-child(7)').allTextContents();
  await until('the backups are sorted', async () => {
    const numbers = (await durations()).map((text) => parseDuration(text));
    return numbers.length === 20 && numbers.every((number, i) => i === 0 || number >= (numbers[i - 1] ?? 0));
  });

  await visit.open(`backups?target=${PAST_TARGET}&tag=weekly`);
  await page.getByRole('heading', { name: `Backups (${Math.floor(PAST / 10)})` }).waitFor();
  await visit.open('backups?target=nobody');
  await page.getByText('No matching backups').waitFor();
  visit.assertClean();
});

test('of more than 1,000 backups, the list and the wizard reach each, a page at a time', async () => {
  const old = Array.from({ length: MANY }, (_, i) => new Date(Date.UTC(2016, 0, 1, 3) + i * DAY_MS));
  try {
    for (let i = 0; i < MANY; i += 50) {
      await Promise.all(
        old.slice(i, i + 50).map((created) =>
          catalogue(browser.stack.bucket, {
            backup_id: idAt(created),
            target: 'attic',
            created_at: created.toISOString(),
            retention: 'permanent',
          }),
        ),
      );
    }
    // As retention does after each backup, so that no list reads a thousand records within the time limit of a call.
    const { bucket } = browser.stack;
    for await (const _ of readListed(bucket, await catalogEntries(bucket), { keep: true }));
    const visit = await browser.visit({ role: 'operator' });
    const { page } = visit;
    await visit.open('backups?target=attic');
    await page.getByRole('heading', { name: `Backups (${MANY.toLocaleString('en-US')})` }).waitFor();
    await visit.open('backups');
    await page.getByRole('heading', { name: /^Backups \(1,\d{3}\)/ }).waitFor();
    await button(page, 'Next page').click();
    await page.waitForURL(/page=2/);

    await visit.open('restore');
    const radios = page.getByRole('radio', { name: /^Choose snapshot/ });
    await radios.first().waitFor();
    const seen = new Set<string | null>();
    const labels = () =>
      radios.evaluateAll((all) =>
        all.map(
          (radio) => radio.getAttribute('aria-label') ?? radio.closest('label')?.textContent ?? radio.id,
        ),
      );
    for (let number = 1; number <= 6; number++) {
      await until('the next page is listed', async () => {
        const now = await labels();
        return now.length === 20 && now.every((label) => !seen.has(label));
      });
      for (const label of await labels()) seen.add(label);
      if (number < 6) await button(page, 'Older backups').click();
    }
    expect(seen.size).toBe(120);
    await radios.first().check();
    await button(page, 'Newer backups').click();
    await page.getByText('Chosen:').waitFor();
    expect(await button(page, 'Inspect').isEnabled()).toBe(true);
    visit.assertClean();
  } finally {
    for (const year of ['2016', '2017', '2018'])
      await browser.stack.bucket.removeAll(`backups/snapshot_${year}-`);
  }
});

test('the chosen columns are remembered', async () => {
  const visit = await browser.visit({ role: 'viewer', alone: true });
  const { page } = visit;
  await visit.open(`backups?target=${PAST_TARGET}`);
  const header = page.getByRole('columnheader', { name: 'ID', exact: true });
  await page.getByRole('columnheader', { name: 'Size' }).waitFor();
  expect(await header.count()).toBe(0);
  await button(page, 'Preferences').click();
  await page.getByRole('checkbox', { name: 'ID', exact: true }).check();
  await button(page, 'Confirm').click();
  await header.waitFor();
  await page.reload();
  await header.waitFor();
  visit.assertClean();
});

test('a time is in the user’s zone, with UTC in its tooltip', async () => {
  const visit = await browser.visit({ role: 'viewer', timezone: 'Asia/Kathmandu' });
  await visit.open(`backup/${backupId}`);
  const time = visit.page.locator('h1 time');
  const created = new Date((await time.getAttribute('datetime')) ?? '');
  expect(await time.textContent()).toBe(created.toLocaleString('sv-SE', { timeZone: 'Asia/Kathmandu' }));
  expect(await time.getAttribute('title')).toBe(
    `${created.toISOString().slice(0, 19).replace('T', ' ')} UTC`,
  );
  visit.assertClean();
});

test('tags, note and retention are edited in place', async () => {
  const visit = await browser.visit({ role: 'admin' });
  const { page } = visit;
  const save = async () => {
    await button(page, 'Save').click();
    await button(page, 'Save').waitFor({ state: 'detached' });
  };
  await visit.open(`backup/${backupId}`);
  await button(page, 'Change: Tags').click();
  await page.getByLabel('Add a tag').fill('乾隆');
  await page.keyboard.press('Enter');
  await save();
  await page.getByText('乾隆').waitFor();
  await button(page, 'Change: Note').click();
  await page.getByRole('textbox', { name: 'Note' }).fill('<img src=x onerror=alert(1)>');
  await save();
  await page.getByText('<img src=x onerror=alert(1)>').waitFor();
  await button(page, 'Change: Retention').click();
  await button(page, 'Retention By policy').click();
  await page.getByRole('option', { name: 'For a number of days' }).click();
  await page.getByRole('spinbutton', { name: 'Days' }).fill('0');
  await page.getByText('(at least 1)').waitFor();
  await page.getByRole('spinbutton', { name: 'Days' }).fill('12');
  await save();
  await page.getByText('12 days').waitFor();
  const { tags, note, retention } = await api<Record<string, unknown>>(`backup/${backupId}`);
  expect({ tags, note, retention }).toEqual({
    tags: ['متحف', '乾隆'],
    note: '<img src=x onerror=alert(1)>',
    retention: '12d',
  });
  visit.assertClean();
});

test('every entry can be downloaded separately, and matches the index', async () => {
  const visit = await browser.visit({ role: 'operator' });
  const { page } = visit;
  await visit.open(`backup/${backupId}`);
  const { entries } = await api<Contents>(`backup/${backupId}/contents`);
  expect(entries.length).toBeGreaterThan(5);
  for (const { name, sha256 } of entries) {
    const waiting = page.waitForEvent('download');
    await button(page, `Download ${name}`).click();
    const download = await waiting;
    expect(download.suggestedFilename()).toBe(name.split('/').at(-1));
    const content = await readFile(await download.path());
    expect([name, createHash('sha256').update(content).digest('hex')]).toEqual([name, sha256]);
  }
  const waiting = page.waitForEvent('download');
  await button(page, 'Download').click();
  expect((await waiting).suggestedFilename()).toMatch(/^backup_\d{8}_\d{6}\.ngbak$/);
  visit.assertClean();
});

test('a checksum and a command are copied in full; the manifest is shown', async () => {
  const visit = await browser.visit({ role: 'viewer' });
  const { page } = visit;
  await visit.open(`backup/${backupId}`);
  const { archive } = await api<{ archive: { checksum: string } }>(`backup/${backupId}`);
  await button(page, 'Copy the checksum').click();
  expect(await page.evaluate('navigator.clipboard.readText()')).toBe(archive.checksum);
  await button(page, 'In a terminal').click();
  await button(page, 'Copy the command: Verify').click();
  expect(await page.evaluate('navigator.clipboard.readText()')).toBe(`ngbak verify ${backupId}`);
  await button(page, 'Manifest').click();
  await page.getByText('"format_version": "1.0"').waitFor();
  visit.assertClean();
});

test('a verification reads every byte; a missing archive is reported', async () => {
  const visit = await browser.visit({ role: 'operator' });
  const { page } = visit;
  await visit.open(`backup/${backupId}`);
  await button(page, 'Verify').click();
  await page.getByText('Backup verified', { exact: true }).waitFor();
  // The backup of an old record has no archive.
  await visit.open(`backup/${past[0]}`);
  await button(page, 'Verify').click();
  await page.getByText('The backup is damaged', { exact: true }).waitFor();
  await page.getByText('is gone', { exact: false }).first().waitFor();
  visit.assertClean();
});

test('the copies of a backup are listed with their states, also on a phone', async () => {
  const at = new Date().toISOString();
  const problem = `s3://copies-of-the-museum: ${'access was denied; '.repeat(8)}`;
  const made: BackupCopy[] = [
    {
      name: 'vault',
      bucket: 'vault',
      prefix: 'team/kb',
      state: 'complete',
      at,
      verified_at: at,
      expires_at: at,
    },
    { name: 'far', bucket: 'copies-of-the-museum', storage_class: 'GLACIER', state: 'failed', at, problem },
  ];
  for (const copy of made) await updateCopy(browser.stack.bucket, backupId, copy.name, () => copy);
  for (const narrow of [false, true]) {
    const visit = await browser.visit({ role: 'viewer', narrow, mode: narrow ? 'dark' : 'light' });
    await visit.open(`backup/${backupId}`);
    const table = visit.page.getByRole('table').filter({ hasText: 's3://vault/team/kb' });
    await table.waitFor();
    expect(await table.getByRole('rowheader').allInnerTexts()).toEqual(
      expect.arrayContaining(['vault', 'far']),
    );
    expect(await table.getByRole('row').filter({ hasText: 'GLACIER' }).textContent()).toMatch(
      /Failed.*access was denied/s,
    );
    expect(await overflows(visit.page)).toBe(false);
    expect(await accessibilityProblems(visit.page)).toEqual([]);
    visit.assertClean();
  }
});

test('a backup is deleted only by an admin who types the name of its target', async () => {
  const made = await browser.stack.run('Backup', { target: 'views' });
  const { backup_id: id = '' } = JSON.parse(made.output ?? '{}') as { backup_id?: string };
  const operator = await browser.visit({ role: 'operator' });
  await operator.open(`backup/${id}`);
  expect(await button(operator.page, 'Delete').getAttribute('aria-disabled')).toBe('true');

  const visit = await browser.visit({ role: 'admin' });
  const { page } = visit;
  await visit.open(`backup/${id}`);
  await button(page, 'Delete').click();
  const dialog = page.getByRole('dialog');
  expect(await accessibilityProblems(page)).toEqual([]);
  await dialog.getByLabel('Type the name of the target').fill('view');
  expect(await dialog.getByRole('button', { name: 'Delete' }).isDisabled()).toBe(true);
  await dialog.getByLabel('Type the name of the target').fill('views');
  await page.keyboard.press('Enter');
  await page.getByText('Backup deleted').waitFor();
  await page.waitForURL(/#\/backups$/);
  expect(await browser.stack.keys(`backups/${id}`)).toEqual([]);
  await visit.open(`backup/${id}`);
  await page.getByText('Backup not found').waitFor();
  visit.assertClean();
});

test('a row of the list has Download and Delete, with the same confirmation and reasons as the page of the backup', async () => {
  const made = await browser.stack.run('Backup', { target: 'views' });
  const { backup_id: id = '' } = JSON.parse(made.output ?? '{}') as { backup_id?: string };
  const open = async (role: 'operator' | 'admin', narrow = false) => {
    const visit = await browser.visit({ role, narrow });
    await visit.open('backups?target=views');
    const row = visit.page.getByRole('row').filter({ has: visit.page.locator(`a[href="#/backup/${id}"]`) });
    return { visit, page: visit.page, row, action: (name: RegExp) => row.getByRole('button', { name }) };
  };
  const operator = await open('operator');
  const waiting = operator.page.waitForEvent('download');
  await operator.action(/^Download backup of views, /).click();
  expect((await waiting).suggestedFilename()).toMatch(/^backup_\d{8}_\d{6}\.ngbak$/);
  expect(await operator.action(/^Delete backup of views, /).getAttribute('aria-disabled')).toBe('true');
  operator.visit.assertClean();
  // These backups are kept forever.
  const kept = await browser.visit({ role: 'admin' });
  await kept.open(`backups?target=${PAST_TARGET}`);
  const first = kept.page.getByRole('button', { name: /^Delete backup of/ }).first();
  expect(await first.getAttribute('aria-disabled')).toBe('true');
  kept.assertClean();

  // On a phone, by keyboard.
  const { visit, page, row, action } = await open('admin', true);
  await action(/^Delete backup of views, /).press('Enter');
  expect(await accessibilityProblems(page)).toEqual([]);
  await page.getByRole('dialog').getByLabel('Type the name of the target').fill('views');
  await page.keyboard.press('Enter');
  await page.getByText('Backup deleted').waitFor();
  await row.waitFor({ state: 'detached' });
  expect(await browser.stack.keys(`backups/${id}`)).toEqual([]);
  visit.assertClean();
});

test('Settings shows health, limitations with reasons, and no secret; keys are for admins', async () => {
  const visit = await browser.visit({ role: 'admin' });
  const { page } = visit;
  await visit.open('settings');
  await page.getByText('ngbak doctor').waitFor();
  await page.getByText('no hooks are configured', { exact: false }).first().waitFor();
  await page.getByRole('rowheader', { name: 'test-operator' }).waitFor();
  const text = await page.locator('body').textContent();
  for (const secret of [browser.stack.apiKey('admin'), 'bolt://', 'redis://', 'password']) {
    expect(text).not.toContain(secret);
  }
  visit.assertClean();

  const viewer = await browser.visit({ role: 'viewer' });
  await viewer.open('settings');
  await viewer.page.getByText('This requires the role admin;').waitFor();
  viewer.assertClean();
});

test('offline, the page keeps its content, says so, and continues automatically', async () => {
  const visit = await browser.visit({ role: 'viewer', alone: true });
  const { page, context } = visit;
  await visit.open('settings');
  await page.getByText('Backup workflow').waitFor();
  await context.setOffline(true);
  await button(page, 'Check again').click();
  await page.getByText('This computer is offline', { exact: false }).waitFor();
  await page.getByText('Backup workflow').waitFor();
  await context.setOffline(false);
  await page.getByText('This computer is offline', { exact: false }).waitFor({ state: 'detached' });
});

/** By day, each mode and each width once. */
const LOOKS = [
  { mode: 'light', narrow: false },
  { mode: 'dark', narrow: true },
  ...(NIGHTLY
    ? [
        { mode: 'dark', narrow: false },
        { mode: 'light', narrow: true },
      ]
    : []),
] as { mode: 'light' | 'dark'; narrow: boolean }[];

test.each(LOOKS)('axe finds no violations and nothing scrolls sideways: %o', async (look) => {
  const visit = await browser.visit({ role: 'admin', ...look });
  const { page } = visit;
  const found: unknown[] = [];
  const check = async (what: string) => {
    await page.waitForLoadState('networkidle');
    const problems = await accessibilityProblems(page);
    const wide = await overflows(page);
    if (problems.length > 0 || wide) found.push({ what, problems, wide });
  };
  for (const [path, heading] of [
    ['', 'Calendar'],
    ['backups', 'Backups ('],
    [`backup/${backupId}`, 'Contents ('],
    ['settings', 'Keys and roles'],
  ] as const) {
    await visit.open(path);
    await page.getByRole('heading', { name: heading }).waitFor();
    await check(path);
  }
  await visit.open('nowhere');
  await page.getByText('Page not found').waitFor();
  await check('a page that does not exist');
  await button(page, 'Signed in as test-admin, admin').click();
  await page.getByRole('menuitem', { name: 'Sign out' }).click();
  await page.getByLabel('Key', { exact: true }).waitFor();
  await check('the sign-in');
  expect(found).toEqual([]);
  visit.assertClean();
});

test('the keyboard alone suffices: sign in, open the newest backup, change its note', async () => {
  const visit = await browser.visit();
  const { page } = visit;
  await visit.open('backups?target=views');
  await page.getByLabel('Key', { exact: true }).waitFor();
  await page.keyboard.type(browser.stack.apiKey('operator'));
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'Backups (' }).waitFor();
  await tabTo(page, (html) => html.includes('#/backup/'));
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'Retention and tags' }).waitFor();
  await tabTo(page, (html) => html.includes('Change: Note'));
  await page.keyboard.press('Enter');
  await page.keyboard.press('ControlOrMeta+A');
  await page.keyboard.type('by keyboard');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.getByText('by keyboard', { exact: true }).waitFor();
  visit.assertClean();
});

async function api<T>(path: string): Promise<T> {
  const answer = await fetch(`${browser.root}api/v1/${path}`, {
    headers: { authorization: `Bearer ${browser.stack.apiKey('viewer')}` },
  });
  return (await answer.json()) as T;
}

/** `1 min 4 s` → 64 */
function parseDuration(text: string): number {
  const [, minutes = '0', seconds = '0'] = /(?:(\d+) min )?([\d.]+) s/.exec(text) ?? [];
  return Number(minutes) * 60 + Number(seconds);
}
