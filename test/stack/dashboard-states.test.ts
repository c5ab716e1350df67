/**
 * Each page in each state: loading, failed, forbidden, offline, signed out, partial, empty. By day Home and some other pages
 * and cases, which the seed of the run chooses; at night all of them.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import type { Page, Route } from 'playwright-core';
import { NIGHTLY } from '../nightly.ts';
import { SEED } from '../seed.ts';
import { servers } from '../servers.ts';
import { until } from '../support/until.ts';
import { accessibilityProblems, startBrowser, type Visit } from './browser.ts';
import { fillTarget, VIEWS as TARGET } from './content.ts';
import { sampleOf } from './kill-sweep.ts';

const SCHEDULE = 'states-test';
/** Duration of each pause in which Redis does not respond, in milliseconds. */
const PAUSE_MS = 8000;
/** A response of the API for simulated failures: words that no page contains itself. */
const FAULT = {
  type: 'about:blank',
  title: 'Not available',
  detail: 'The bucket is asleep.',
  remedy: 'Wake it.',
};

let browser: Awaited<ReturnType<typeof startBrowser>>;
/** One visit for all tests: the pages and the API are real, only the network between them fails. */
let visit: Visit;
let page: Page;
let backupId: string;
let restoreJob: string;
let uploadJob: string;

beforeAll(async () => {
  browser = await startBrowser();
  await fillTarget(TARGET);
  const made = await browser.stack.run('Backup', { target: 'views' });
  backupId = (JSON.parse(made.output ?? '{}') as { backup_id?: string }).backup_id ?? '';
  const restore = await callApi<{ job_id: string }>('POST', 'restore', { backup_id: backupId });
  restoreJob = restore.job_id;
  const upload = { target: 'views', file_name: 'x.ngbak', bytes: 1000, upload: 'multipart' };
  uploadJob = (await callApi<{ job_id: string }>('POST', 'restore', upload)).job_id;
  const schedule = { name: SCHEDULE, expression: 'rate(1 day)', enabled: false, backup: { target: 'views' } };
  await callApi('POST', 'schedules', schedule);
  await browser.stack.waitForJob(restoreJob, ({ state }) => state === 'awaiting_confirmation');
  visit = await browser.visit({ role: 'admin', alone: true });
  page = visit.page;
});
afterAll(async () => {
  await browser?.close();
  if (uploadJob) await callApi('POST', `jobs/${uploadJob}/cancel`);
  if (restoreJob) {
    await callApi('POST', `restore/${restoreJob}/reject`, {});
    await browser.stack.waitForJob(restoreJob);
  }
  await callApi('DELETE', `schedules/${SCHEDULE}`);
});

afterEach(async () => {
  await apiAnswersAsItDoes();
  await visit.context.setOffline(false);
});

interface View {
  readonly path: () => string;
  /** The text while it loads. */
  readonly loading: string;
  /** The text once it has loaded. */
  readonly ready: string;
}

const restoreStep = (step: string, ready: string): View => ({
  path: () => `restore/${restoreJob}/${step}`,
  loading: 'Loading the restore',
  ready,
});
const VIEWS: Record<string, View> = {
  Home: { path: () => '', loading: 'Loading the backups', ready: 'Failures are known since' },
  Backups: { path: () => 'backups', loading: 'Loading backups', ready: 'ngbak list' },
  'a backup': {
    path: () => `backup/${backupId}`,
    loading: 'Loading the backup',
    ready: 'Retention and tags',
  },
  'Create backup': {
    path: () => 'create-backup?target=views',
    loading: 'Loading the targets',
    ready: 'Based on',
  },
  'Restore: choose a backup': {
    path: () => `restore?backup=${backupId}`,
    loading: 'Loading the targets',
    ready: 'Verification',
  },
  'Restore: choose a file': {
    path: () => 'restore?from=file',
    loading: 'Loading the targets',
    ready: 'Choose file',
  },
  'Restore: upload': {
    path: () => `restore/${uploadJob}`,
    loading: 'Loading the restore',
    ready: 'The upload was interrupted',
  },
  'Restore: what was found': restoreStep('report', 'Difference from views'),
  'Restore: options': restoreStep('options', 'Inspect with these options'),
  'Restore: confirm': restoreStep('confirm', 'Restore now'),
  Jobs: { path: () => 'jobs', loading: 'Loading jobs', ready: 'Restore into views' },
  'a job': {
    path: () => `job/${restoreJob}`,
    loading: 'Loading the job',
    ready: 'Open in the restore wizard',
  },
  'Schedules and retention': {
    path: () => 'schedules',
    loading: 'Loading the deployment',
    ready: 'from cdk.json.',
  },
  'a new schedule': {
    path: () => 'schedules/new',
    loading: 'Loading the deployment',
    ready: 'Flexible window',
  },
  'a schedule': {
    path: () => `schedules/${SCHEDULE}/edit`,
    loading: 'Loading the deployment',
    ready: 'Flexible window',
  },
  Settings: { path: () => 'settings', loading: 'Loading the deployment', ready: 'Keys and roles' },
};

/** The view in which axe checks states with the same component everywhere. */
const SAMPLED = 'Home';

/** By day, as many of the cases as this, which the seed chooses, and those that are always included; at night, all. */
function sample<T>(cases: readonly T[], count: number, always: (item: T) => boolean = () => false): T[] {
  if (NIGHTLY) return [...cases];
  const others = cases.filter((item) => !always(item));
  return [...cases.filter(always), ...sampleOf(others, count, SEED)];
}

/** Texts that must not appear while the data is unknown. */
const EMPTY_TEXTS =
  /No backups yet|No matching backups|No jobs yet|No matching jobs|No schedules|None in 90 days|Not yet|No jobs are running|No failures in|not found/;

describe.each(sample(Object.entries(VIEWS), 4, ([name]) => name === SAMPLED))(
  '%s',
  (name, { path, loading, ready }) => {
    const isReady = () => page.getByText(ready).first().waitFor();

    test('says what it waits for until a response arrives', async () => {
      const answers = Promise.withResolvers<void>();
      await apiAnswers(async (route) => {
        await answers.promise;
        await route.continue();
      });
      await openAnew(path());
      await page.getByText(loading).first().waitFor();
      await expectFit();
      answers.resolve();
      await isReady();
      await apiAnswersAsItDoes();
    });

    test('reports a failure with a remedy, and retries on request', async () => {
      await apiAnswers((route) => route.fulfill(problem(500, FAULT)));
      await openAnew(path());
      await page.getByText('The bucket is asleep. Wake it.').first().waitFor();
      await expectFit();
      await apiAnswersAsItDoes();
      await tryAgain();
      await isReady();
    });

    test('reports what a key has no permission to see, and shows it once it has', async () => {
      const detail = 'This needs a role that your key has not.';
      await apiAnswers((route) => route.fulfill(problem(403, { ...FAULT, title: 'Not allowed', detail })));
      await openAnew(path());
      await page.getByText(detail).first().waitFor();
      await expectFit({ axe: name === SAMPLED });
      await apiAnswersAsItDoes();
      await tryAgain();
      await isReady();
    });

    test('reports that the computer is offline, and continues automatically', async () => {
      await openAnew('nowhere');
      await visit.context.setOffline(true);
      await openAnew(path());
      await page.getByText('This computer is offline').first().waitFor();
      await expectFit({ axe: name === SAMPLED });
      await visit.context.setOffline(false);
      await isReady();
    });

    test('asks for a key if the current one is no longer valid, and returns to the page', async () => {
      await apiAnswers((route) => route.fulfill(problem(401, FAULT)), { session: true });
      await openAnew(path());
      await page.getByText('Invalid or expired key').waitFor();
      await expectFit({ axe: name === SAMPLED });
      await apiAnswersAsItDoes();
      await page.getByLabel('Key', { exact: true }).fill(browser.stack.apiKey('admin'));
      await page.getByRole('button', { name: 'Sign in', exact: true }).click();
      await isReady();
      visit.assertClean();
    });
  },
);

test('the sign-in waits, fails and is offline like every page, and continues automatically', async () => {
  const answers = Promise.withResolvers<void>();
  const held = async (route: Route) => {
    await answers.promise;
    await route.continue();
  };
  await visit.open('');
  await apiAnswers(held, { only: /^me$/, session: true });
  await page.reload();
  await page.getByText('Loading your role').waitFor();
  await expectFit();
  answers.resolve();
  await page.getByRole('button', { name: /^Signed in as/ }).waitFor();

  for (const failing of [
    () => apiAnswers((route) => route.fulfill(problem(503, FAULT)), { only: /^me$/, session: true }),
    () => apiAnswers((route) => route.abort('connectionrefused'), { only: /^me$/, session: true }),
  ]) {
    await failing();
    await page.reload();
    await page
      .getByText('The bucket is asleep. Wake it.')
      .or(page.getByText('The API could not be reached.'))
      .waitFor();
    await expectFit();
    await apiAnswersAsItDoes();
    await page.getByRole('button', { name: /^Signed in as/ }).waitFor();
  }
});

test('a running job is cancelled from its page, after a description of the consequences', async () => {
  const operator = await browser.visit({ role: 'operator' });
  const tab = operator.page;
  const before = await browser.stack.keys('backups/');
  const release = holdRedis();
  try {
    const { name } = await browser.stack.start('Backup', { target: 'views' });
    await operator.open(`job/${name}`);
    await titleOf(tab, /^(…|\d+ %) backup of views – ngbak$/);
    const cancel = tab.getByRole('button', { name: 'Cancel job', exact: true });
    await cancel.click();
    await tab.getByRole('dialog').getByText('Existing backups are not affected.').waitFor();
    expect(await accessibilityProblems(tab)).toEqual([]);
    await tab.getByRole('button', { name: 'Keep running' }).click();
    await tab.getByRole('dialog').waitFor({ state: 'hidden' });
    expect((await browser.stack.waitForJob(name, () => true)).state).toBe('processing');
    await cancel.click();
    await tab.getByRole('dialog').getByRole('button', { name: 'Cancel job' }).click();
    await tab.getByText('The job is being stopped; the unfinished backup is removed.').first().waitFor();
    await titleOf(tab, /^Cancelled: backup of views – ngbak$/);
    await cancel.waitFor({ state: 'detached' });
    expect(await accessibilityProblems(tab)).toEqual([]);
    expect((await browser.stack.waitForJob(name)).state).toBe('cancelled');
    expect(await browser.stack.keys('backups/')).toEqual(before);
    operator.assertClean();
  } finally {
    await release();
    await operator.close();
  }
});

test('a response that is not from the API, for example from a gateway, is reported as such', async () => {
  await apiAnswers((route) =>
    route.fulfill({ status: 502, contentType: 'text/html', body: '<html>Bad gateway</html>' }),
  );
  await openAnew('jobs');
  await page.getByText('The API answered 502 with an unexpected body.').waitFor();
});

test.each([
  ['settings', /\/assets\/settings-/, 'This page could not be displayed', 'Keys and roles'],
  ['', /\/assets\/charts-/, 'The charts could not be displayed', 'Archive size'],
] as const)(
  'a chunk of “%s” whose code cannot be loaded is reported, and works after a reload',
  async (path, code, told, there) => {
    // Otherwise, the chunk might be in the cache already.
    const own = await browser.visit({ role: 'admin', alone: true });
    await own.page.route(code, (route) => route.abort('connectionreset'));
    await own.open(path);
    await own.page.getByText(told).waitFor();
    expect(await accessibilityProblems(own.page)).toEqual([]);
    await own.page.unrouteAll({ behavior: 'ignoreErrors' });
    await own.page.getByRole('button', { name: 'Reload' }).click();
    await own.page.getByText(there).first().waitFor();
    await own.close();
  },
);

test('Home warns if nobody is notified of failures, and names the remedy', async () => {
  await openAnew('');
  await page.getByText('Nobody is notified if a backup fails').waitFor();
  await page.getByText('Configure receivers under "notify" in cdk.json').waitFor();
  expect(await accessibilityProblems(page)).toEqual([]);
});

/** One of several calls fails: the content that must appear nevertheless, and the claim that must not. */
const PARTIAL: [view: string, path: () => string, failing: RegExp, there: string, untrue: RegExp][] = [
  [
    'Home without its jobs',
    () => '',
    /^jobs$/,
    'Failures are known since',
    /No jobs are running|No failures in/,
  ],
  ['Home without its calendar', () => '', /^calendar$/, 'Latest good backup', /No backup|known since/],
  [
    'Home without the verdict',
    () => '',
    /^recoverability$/,
    'Latest good backup',
    /None in 90|Recoverable\? (Yes|No)|would lose/,
  ],
  ['Home without its schedules', () => '', /^schedules$/, 'Failures are known since', /scheduled backupNone/],
  ['Home without the receivers', () => '', /^notifications$/, 'Latest good backup', /Nobody is notified/],
  ['Home without its backups', () => '', /^overview$/, 'Running now', /There are no backups|No target/],
  [
    'a backup without its contents',
    () => `backup/${backupId}`,
    /\/contents$/,
    'Retention and tags',
    /no entries/,
  ],
  [
    'Create backup without an estimate',
    () => 'create-backup?target=views',
    /^backup$/,
    'According to the retention policy',
    /There is no backup/,
  ],
  ['the wizard without the backups', () => 'restore', /^backup$/, 'Restore into', /No backups yet/],
  [
    'an upload without its parts in S3',
    () => `restore/${uploadJob}`,
    /\/parts$/,
    'Upload',
    /was interrupted/,
  ],
  ['the schedules without the retention policy', () => 'schedules', /^retention$/, SCHEDULE, /^$/],
  ['the retention policy without the schedules', () => 'schedules', /^schedules$/, 'Newest', /No schedules/],
  ['a schedule that does not load', () => `schedules/${SCHEDULE}/edit`, /^schedules\//, 'Schedule', /^$/],
  ['Settings without the health', () => 'settings', /^health$/, 'Keys and roles', /^$/],
  ['Settings without the deployment', () => 'settings', /^deployment$/, 'Keys and roles', /No target/],
  ['Settings without the overview', () => 'settings', /^overview$/, 'Keys and roles', /Not yet/],
  ['Settings without the retention policy', () => 'settings', /^retention$/, 'Keys and roles', /^$/],
  ['Settings without the keys', () => 'settings', /^keys$/, 'Health', /Nobody has/],
];

test.each(sample(PARTIAL, 6))(
  '%s: the rest is shown, and what is missing is reported',
  async (_, path, failing, there, untrue) => {
    await apiAnswers((route) => route.fulfill(problem(500, FAULT)), { only: failing });
    await openAnew(path());
    await page.getByText('The bucket is asleep. Wake it.').first().waitFor();
    await page.getByText(there).first().waitFor();
    await expectFit({ untrue, axe: false });
    await apiAnswersAsItDoes();
    await tryAgain();
    visit.assertClean();
  },
);

const NO_JOBS = { jobs: { jobs: [], total: 0, unreadable: [] } };
const NO_BACKUPS = { backup: { backups: [], total: 0, unreadable: [] } };
const NO_TARGETS = { overview: { targets: [], history: [], unreadable: 0 } };
interface EmptyView {
  readonly path: string;
  /** The response of a deployment that has no data yet. */
  readonly answers: Record<string, object>;
  readonly message: string;
  readonly wayOn?: string;
}
const EMPTY: EmptyView[] = [
  { path: '', answers: NO_JOBS, message: 'No jobs are running.', wayOn: 'All jobs' },
  { path: '', answers: NO_TARGETS, message: 'No targets configured' },
  { path: 'backups', answers: NO_BACKUPS, message: 'No backups yet', wayOn: 'Create backup' },
  { path: 'restore', answers: NO_BACKUPS, message: 'No backups yet', wayOn: 'Create a backup' },
  {
    path: 'create-backup?target=views',
    answers: NO_BACKUPS,
    message: 'There is no earlier backup of this scope',
  },
  { path: 'jobs', answers: NO_JOBS, message: 'No jobs yet', wayOn: 'Create a backup' },
  { path: 'jobs?state=failed', answers: NO_JOBS, message: 'No matching jobs', wayOn: 'Show all' },
  {
    path: 'schedules',
    answers: { schedules: { schedules: [], unreadable: [] } },
    message: 'No schedules',
    wayOn: 'Create schedule',
  },
  { path: 'settings', answers: { keys: { keys: [] } }, message: 'No API keys' },
];

test.each(sample(EMPTY, 4))(
  '“$path” shows “$message” if there is nothing yet',
  async ({ path, answers, message, wayOn }) => {
    const only = new RegExp(`^(${Object.keys(answers).join('|')})$`);
    await apiAnswers(
      (route) => {
        const name = new URL(route.request().url()).pathname.split('/').at(-1) ?? '';
        return route.fulfill({ status: 200, json: answers[name] });
      },
      { only },
    );
    await openAnew(path);
    await page.getByText(message).first().waitFor();
    if (wayOn) {
      const named = { name: wayOn };
      await page.getByRole('link', named).or(page.getByRole('button', named)).first().waitFor();
    }
    expect(await accessibilityProblems(page)).toEqual([]);
    visit.assertClean();
  },
);

test('a job over 200 collections summarizes them, with a table of all of them', async () => {
  const at = new Date().toISOString();
  const units = Object.fromEntries(
    Array.from({ length: 200 }, (_, i) => [`points:c${i}`, { done: i < 198 ? 10 : 5, total: 10 }]),
  );
  const job = {
    job_id: 'job-1',
    kind: 'backup',
    target: 'views',
    state: 'processing',
    created_at: at,
    updated_at: at,
    log: [],
    progress: [{ store: 'vectors', phase: 'export', finished: false, units, started_at: at, updated_at: at }],
  };
  await apiAnswers((route) => route.fulfill({ status: 200, json: job }), { only: /^jobs\/job-1$/ });
  await openAnew('job/job-1');
  await page.getByText('200 collections, 198 done, 1,990 of 2,000 points').first().waitFor();
  expect(await page.getByText('c199').isVisible()).toBe(false);
  await page.getByRole('button', { name: 'Collections' }).click();
  // The unfinished ones are first.
  await page.getByRole('row', { name: /c199 5 of 10 points/ }).waitFor();
  expect(await page.getByRole('row').count()).toBe(201);
  expect(await accessibilityProblems(page)).toEqual([]);
  visit.assertClean();
});

test.each(sample(['create-backup', 'restore', 'restore?from=file', 'schedules/new', 'settings'], 2))(
  '%s without a target says that an administrator configures one',
  async (path) => {
    await apiAnswers(
      async (route) => {
        const answer = await route.fetch();
        await route.fulfill({ response: answer, json: { ...(await answer.json()), targets: [] } });
      },
      { only: /^deployment$/ },
    );
    await openAnew(path);
    await page.getByText('No targets configured').waitFor();
    expect(await accessibilityProblems(page)).toEqual([]);
    visit.assertClean();
  },
);

/**
 * Makes Redis respond only occasionally, so that a backup cannot end before the test has seen it. Returns a function
 * that ends this, and waits until Redis responds again: a pause of all clients cannot be ended by one.
 */
function holdRedis(): () => Promise<void> {
  const redis = new Redis(servers.redis.url, { password: servers.redis.password });
  let held = true;
  const holding = (async () => {
    // The next pause only begins when the last one is over: Redis does not respond to this command either.
    while (held) await redis.client('PAUSE', PAUSE_MS, 'ALL');
    await redis.ping();
  })();
  return async () => {
    held = false;
    await holding;
    redis.disconnect();
  };
}

/** Waits for this title of the tab. */
const titleOf = (tab: Page, wanted: RegExp) =>
  until(`the title is ${wanted}`, () => tab.title(), { holds: (title) => wanted.test(title) });

/** Opens an address like a user who comes from another page: nothing of it is loaded yet. */
async function openAnew(path: string): Promise<void> {
  await visit.open('nowhere');
  await page
    .getByText('Page not found')
    .or(page.getByRole('heading', { name: 'Sign in' }))
    .waitFor();
  await visit.open(path);
}

/** Mocks the responses to the calls of a page; with `session`, also to the one that identifies the user. */
async function apiAnswers(
  answer: (route: Route) => Promise<void>,
  { session = false, only = /./ }: { session?: boolean; only?: RegExp } = {},
): Promise<void> {
  await apiAnswersAsItDoes();
  await page.route('**/api/v1/**', (route) => {
    const path = new URL(route.request().url()).pathname.replace(/^.*\/api\/v1\//, '');
    return (path === 'me' && !session) || !only.test(path) ? route.continue() : answer(route);
  });
}

async function apiAnswersAsItDoes(): Promise<void> {
  await page.unrouteAll({ behavior: 'ignoreErrors' });
}

function problem(status: number, body: typeof FAULT) {
  return { status, contentType: 'application/problem+json', body: JSON.stringify({ status, ...body }) };
}

/** Presses “Try again” for each failure, one after the other. */
async function tryAgain(): Promise<void> {
  const again = page.getByRole('button', { name: 'Try again' });
  for (let [failed] = await again.elementHandles(); failed; [failed] = await again.elementHandles()) {
    // Server errors are also retried automatically: the button may have disappeared by now.
    await failed.dispatchEvent('click');
    await failed.waitForElementState('hidden');
  }
}

/** Assertions for every state: no claim about unknown data, and no violations found by axe. */
async function expectFit({ untrue = EMPTY_TEXTS, axe = true } = {}): Promise<void> {
  expect(await page.locator('main').textContent()).not.toMatch(untrue);
  if (axe) expect(await accessibilityProblems(page)).toEqual([]);
}

async function callApi<T>(method: string, path: string, body?: object): Promise<T> {
  const answer = await fetch(`${browser.root}api/v1/${path}`, {
    method,
    headers: {
      authorization: `Bearer ${browser.stack.apiKey('admin')}`,
      'content-type': 'application/json',
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  return (await answer.json()) as T;
}
