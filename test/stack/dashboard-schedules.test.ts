import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import type { Page } from 'playwright-core';
import { accessibilityProblems, overflows, startBrowser } from './browser.ts';
import { DASHBOARD, fillTarget } from './content.ts';

const NAME = 'dashboard-test';

let browser: Awaited<ReturnType<typeof startBrowser>>;
beforeAll(async () => {
  browser = await startBrowser();
  await fillTarget(DASHBOARD);
});
afterEach(() => browser.closeVisits());
afterAll(() => browser?.close());

const button = (page: Page, name: string) => page.getByRole('button', { name, exact: true });
const row = (page: Page) => page.getByRole('row', { name: new RegExp(NAME) });

async function act(page: Page, action: string): Promise<void> {
  await button(page, `Actions for ${NAME}`).click();
  await page.getByRole('menuitem', { name: action, exact: true }).click();
}

test('a schedule is created, changed, paused, run and deleted, without a deployment', async () => {
  const visit = await browser.visit({ role: 'operator', timezone: 'Asia/Tokyo' });
  const { page } = visit;
  await visit.open('schedules/new');
  await page.getByRole('button', { name: /^Target / }).click();
  await page.getByRole('option', { name: /^dashboard/ }).click();
  await page.getByLabel('Name', { exact: true }).fill('no spaces please');
  await button(page, 'Create schedule').click();
  await page.getByText('Up to 64 letters').waitFor();
  await page.getByLabel('Name', { exact: true }).fill(NAME);
  await page.getByLabel('Time', { exact: true }).fill('04:30');
  await page.getByLabel('Description').fill('ראשית כל הגיבוי');
  await button(page, 'Create schedule').click();
  await row(page).getByText('every day at 04:30 (Asia/Tokyo)').waitFor();

  await act(page, 'Edit');
  await page.getByRole('button', { name: /^How often / }).click();
  await page.getByRole('option', { name: 'At an interval' }).click();
  await page.getByLabel('Every', { exact: true }).fill('12');
  await button(page, 'Save').click();
  await row(page).getByText('every 12 hours').waitFor();

  await act(page, 'Pause');
  await row(page).getByText('Paused').waitFor();
  await act(page, 'Run now');
  await row(page).getByText('started manually').waitFor();
  await act(page, 'Resume');
  await row(page).getByText('Paused').waitFor({ state: 'detached' });
  await act(page, 'Remove');
  await page.getByRole('dialog').waitFor();
  expect(await accessibilityProblems(page)).toEqual([]);
  await button(page, 'Remove').click();
  await row(page).waitFor({ state: 'detached' });
  visit.assertClean();
});

test('retention shows what it would keep and delete, with reasons, and deletes nothing', async () => {
  const visit = await browser.visit({ role: 'viewer' });
  const { page } = visit;
  const before = await browser.stack.keys('backups/');
  await visit.open('schedules');
  await page.getByLabel('Newest').fill('none');
  await page.getByText('Enter a number from 0 to 3660.').waitFor();
  expect(await button(page, 'Preview').isEnabled()).toBe(false);
  await page.getByLabel('Newest').fill('0');
  await page.getByText('ngbak retention set --keep-last 0').waitFor();
  expect(await button(page, 'Save').getAttribute('aria-disabled')).toBe('true');
  await button(page, 'Preview').click();
  await page
    .getByText(/backups? are kept|would be deleted/)
    .first()
    .waitFor();
  expect(await accessibilityProblems(page)).toEqual([]);
  await button(page, 'Kept').click();
  expect(await accessibilityProblems(page)).toEqual([]);
  // The list may include a backup that the previous test started.
  expect(await browser.stack.keys('backups/')).toEqual(expect.arrayContaining(before));
  visit.assertClean();
});

test('the retention policy is changed only after its preview, and not from an outdated page', async () => {
  const [one, two] = [await browser.visit({ role: 'admin' }), await browser.visit({ role: 'admin' })];
  for (const visit of [one, two]) {
    await visit.open('schedules');
    await visit.page.getByText('from cdk.json.').waitFor();
  }
  const save = async ({ page }: typeof one, newest: string) => {
    await page.getByLabel('Newest').fill(newest);
    expect(await button(page, 'Save').getAttribute('aria-disabled')).toBe('true');
    await button(page, 'Preview').click();
    await page
      .getByText('Preview (')
      .or(page.getByRole('heading', { name: 'Preview' }))
      .first()
      .waitFor();
    await button(page, 'Save').click();
  };
  await save(one, '3660');
  await one.page.getByText('Retention policy changed').first().waitFor();
  await one.page.getByText('set by test-admin').waitFor();

  await save(two, '3659');
  await two.page.getByText('was modified concurrently, by test-admin').waitFor();
  await two.page.getByText('set by test-admin').waitFor();
  expect(await two.page.getByLabel('Newest').inputValue()).toBe('3659');

  await button(one.page, 'Reset to cdk.json').click();
  await button(one.page, 'Preview').click();
  await button(one.page, 'Save').click();
  await one.page
    .getByRole('button', { name: 'Keep fewer' })
    .or(one.page.getByText('from cdk.json.'))
    .first()
    .waitFor();
  const ask = button(one.page, 'Keep fewer');
  if (await ask.isVisible()) {
    expect(await accessibilityProblems(one.page)).toEqual([]);
    await ask.click();
  }
  await one.page.getByText('from cdk.json.').waitFor();
  one.assertClean();
  two.assertClean();
});

test.each([
  { mode: 'light' as const, narrow: false },
  { mode: 'dark' as const, narrow: true },
])('axe finds no violations and nothing scrolls sideways: %o', async (options) => {
  const visit = await browser.visit({ role: 'operator', ...options });
  const { page } = visit;
  const found: unknown[] = [];
  for (const [path, text] of [
    ['schedules', 'Next run'],
    ['schedules/new', 'Flexible window'],
  ] as const) {
    await visit.open(path);
    await page.getByText(text).first().waitFor();
    await page.getByText('Loading schedules').first().waitFor({ state: 'detached' });
    const problems = await accessibilityProblems(page);
    const wide = await overflows(page);
    if (problems.length > 0 || wide) found.push({ path, problems, wide });
  }
  // The form with all of its fields.
  await button(page, 'Limit to a subset').click();
  await page.getByLabel('For a number of days').check();
  for (const [kind, field] of [
    ['On selected days of the week', 'Days'],
    ['At an interval', 'Every'],
    ['Once', 'Day'],
    ['Custom expression', 'Expression'],
  ] as const) {
    await page.getByRole('button', { name: /^How often / }).click();
    await page.getByRole('option', { name: kind }).click();
    await page.getByText(field, { exact: true }).first().waitFor();
    const problems = await accessibilityProblems(page);
    if (problems.length > 0) found.push({ kind, problems });
  }
  expect(found).toEqual([]);
  visit.assertClean();
});
