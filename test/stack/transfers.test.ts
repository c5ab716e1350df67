import { execFile } from 'node:child_process';
import { mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { HeadObjectCommand } from '@aws-sdk/client-s3';
import { createPresignedPost } from '@aws-sdk/s3-presigned-post';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { Deployment } from '../../shared/operations/describe-deployment.ts';
import type { SingleUpload } from '../../shared/workflows/restore/request.ts';
import { run } from '../cli/run.ts';
import { missing, testUnless } from '../conditions.ts';
import { startBrowser } from './browser.ts';
import { fillTarget, MOVE, readTarget } from './content.ts';
import { UPLOAD_BYTES_MAX } from './context.ts';

const LONG_MS = 240_000;
const TARGET = 'move';
const exec = promisify(execFile);

let browser: Awaited<ReturnType<typeof startBrowser>>;
let folder: string;
/** The archive that the CLI has backed up and downloaded, and its backup. */
let file: string;
let backupId: string;
let whole: unknown;

beforeAll(async () => {
  browser = await startBrowser();
  folder = await mkdtemp(join(tmpdir(), 'ngbak-transfers-'));
  await fillTarget(MOVE);
  whole = await readTarget(MOVE);
});
afterEach(() => browser.closeVisits());
afterAll(async () => {
  await browser?.close();
  await rm(folder, { recursive: true, force: true });
});

const direct = () => ({
  NGBAK_STACK: 'NgbakTest',
  NGBAK_DOWNLOAD_FOLDER: folder,
  TZ: 'UTC',
});
const api = () => ({
  ...direct(),
  NGBAK_API_URL: browser.stack.apiUrl(),
  NGBAK_API_KEY: browser.stack.apiKey('admin'),
});

async function ngbak(args: string[], environment: NodeJS.ProcessEnv = direct()) {
  const ran = await run([...args, '--json'], environment);
  expect([ran.code, ran.stdout, ran.stderr]).toEqual([0, expect.anything(), '']);
  return (type: string) =>
    ran
      .lines()
      .filter((line) => line.type === type)
      .map(({ data }) => data);
}

async function call<T>(method: string, path: string, body?: object): Promise<T> {
  const answer = await fetch(`${browser.stack.apiUrl()}/api/v1/${path}`, {
    method,
    headers: {
      authorization: `Bearer ${browser.stack.apiKey('operator')}`,
      ...(body ? { 'content-type': 'application/json' } : {}),
    },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  const text = await answer.text();
  expect([answer.ok, text]).toEqual([true, text]);
  return JSON.parse(text) as T;
}

const isPending = async (jobId: string) => (await browser.stack.waitForJob(jobId, () => true)).state;

describe('ngbak', () => {
  test(
    'backs up and downloads in one step, and lists the archive on this machine as verified',
    async () => {
      const found = await ngbak(['backup', '--target', TARGET, '--download']);
      const [job] = found('job');
      expect(job).toMatchObject({ state: 'completed', kind: 'backup' });
      backupId = String(job?.backup_id);
      const [downloaded] = found('downloaded');
      file = String(downloaded?.path);
      expect(await readdir(folder)).toEqual([expect.stringMatching(/^backup_\d{8}_\d{6}\.ngbak$/)]);
      expect((await readFile(file)).equals(await browser.stack.download(backupId))).toBe(true);
      // Without AWS.
      const local = await run(['list', '--local', folder, '--json'], {
        AWS_ENDPOINT_URL: 'http://127.0.0.1:1',
      });
      expect(local.lines()[0]).toMatchObject({
        type: 'local',
        data: { path: file, backup_id: backupId, target: TARGET, verified_at: expect.anything() },
      });
      const other = join(folder, 'other');
      const byApi = await ngbak(
        ['backup', '--target', TARGET, '--codec', 'zstd', '--download', other],
        api(),
      );
      expect(byApi('downloaded')).toMatchObject([{ path: expect.stringContaining(other) }]);
      const zstd = String(byApi('job')[0]?.backup_id);
      expect((await head(zstd)).ContentType).toBe('application/zstd');
      await ngbak(['delete', zstd, '--yes']);
    },
    LONG_MS,
  );

  const head = (id: string) =>
    browser.stack.bucket.s3.send(
      new HeadObjectCommand({ Bucket: browser.stack.bucket.name, Key: `backups/${id}.ngbak` }),
    );

  test('every link to an archive has its content type and a name with its time', async () => {
    const named = file.split('/').at(-1);
    const address = `s3://${browser.stack.bucket.name}/backups/${backupId}.ngbak`;
    const presigned = await exec('aws', ['s3', 'presign', address], { env: process.env });
    const redirected = await fetch(`${browser.stack.apiUrl()}/api/v1/backup/${backupId}/download`, {
      headers: { authorization: `Bearer ${browser.stack.apiKey('operator')}` },
      redirect: 'manual',
    });
    expect(redirected.status).toBe(307);
    const link = await run(['link', backupId], direct());
    for (const url of [
      presigned.stdout.trim(),
      redirected.headers.get('location') ?? '',
      link.stdout.trim(),
    ]) {
      const answer = await fetch(url);
      await answer.body?.cancel();
      expect([
        answer.status,
        answer.headers.get('content-type'),
        answer.headers.get('content-disposition'),
      ]).toEqual([200, 'application/gzip', `attachment; filename="${named}"`]);
    }
  });

  test(
    'restores a backup that the catalog has lost from the archive on this machine, into its own target',
    async () => {
      await ngbak(['delete', backupId, '--yes']);
      await fillTarget({ ...MOVE, prefix: 'move:damage:' });
      expect(await readTarget(MOVE)).not.toEqual(whole);
      const found = await ngbak(['restore', backupId, '--yes']);
      expect(found('job')).toMatchObject([{ state: 'completed', kind: 'restore', target: TARGET }]);
      expect(await readTarget(MOVE)).toEqual(whole);
      const none = await run(['restore', 'snapshot_none', '--yes'], api());
      expect([none.code, none.stderr]).toEqual([
        3,
        expect.stringMatching(/no backup "snapshot_none" in the catalog, and no archive of it in/),
      ]);
    },
    LONG_MS,
  );

  test('refuses an archive above the limit of the deployment before it requests an upload', async () => {
    const large = join(folder, 'large.ngbak');
    const handle = await open(large, 'w');
    await handle.truncate(UPLOAD_BYTES_MAX + 1);
    await handle.close();
    const jobs = async () =>
      (await browser.stack.keys('jobs/')).filter((key) => key.endsWith('/request.json'));
    const before = await jobs();
    for (const way of [direct(), api()]) {
      const ran = await run(['restore', large, '--target', TARGET], way);
      expect([ran.code, ran.stderr]).toEqual([
        2,
        expect.stringContaining(`has ${UPLOAD_BYTES_MAX + 1} bytes; the limit is ${UPLOAD_BYTES_MAX}`),
      ]);
    }
    expect(await jobs()).toEqual(before);
    const { upload } = await call<Deployment>('GET', 'deployment');
    expect(upload).toEqual({ max_bytes: UPLOAD_BYTES_MAX, max_single_bytes: UPLOAD_BYTES_MAX });
    await rm(large);
  });

  test('an error with an entry in the documentation links to it, in the terminal, as JSON and in the API', async () => {
    const wrong = { ...api(), NGBAK_API_KEY: 'ngbak_wrong' };
    const shown = await run(['list'], wrong);
    expect(shown.stderr).toContain('See docs/troubleshooting.md#api-key-refused.');
    const [line] = (await run(['list', '--json'], wrong)).lines();
    expect(line).toMatchObject({ data: { help: 'docs/troubleshooting.md#api-key-refused' } });
  });
});

describe('the dashboard', () => {
  test(
    'backs up, then downloads and checks the archive, with a progress bar for both',
    async () => {
      const visit = await browser.visit({ role: 'operator' });
      const { page } = visit;
      await visit.open(`create-backup?target=${TARGET}`);
      const waiting = page.waitForEvent('download');
      await page.getByRole('button', { name: 'Back up now and download', exact: true }).click();
      await page.getByText('Starts when the backup is verified.').waitFor();
      const download = await waiting;
      await page.getByText('Downloaded, checksum verified.').waitFor();
      await page.getByText('Backed up and verified').waitFor();
      expect(download.suggestedFilename()).toMatch(/^backup_\d{8}_\d{6}\.ngbak$/);
      const id = (await browser.stack.waitForJob(page.url().split('/').at(-1) ?? '')).backup_id ?? '';
      const saved = await readFile(await download.path());
      expect(saved.equals(await browser.stack.download(id))).toBe(true);
      visit.assertClean();
    },
    LONG_MS,
  );

  test(
    'the download starts also if another page is shown when the backup ends, and not for a backup alone',
    async () => {
      const visit = await browser.visit({ role: 'operator' });
      const { page } = visit;
      await visit.open(`create-backup?target=${TARGET}`);
      const waiting = page.waitForEvent('download');
      await page.getByRole('button', { name: 'Back up now and download', exact: true }).click();
      await page.waitForURL(/#\/job\//);
      await page.evaluate('location.hash = "#/settings"');
      expect((await waiting).suggestedFilename()).toMatch(/^backup_.*\.ngbak$/);
      const downloads: string[] = [];
      page.on('download', (download) => downloads.push(download.suggestedFilename()));
      await visit.open(`create-backup?target=${TARGET}`);
      await page.getByRole('button', { name: 'Create backup', exact: true }).click();
      await page.getByText('Backed up and verified').waitFor();
      expect(await page.getByRole('heading', { name: 'Download' }).count()).toBe(0);
      expect(downloads).toEqual([]);
      visit.assertClean();
    },
    LONG_MS,
  );

  test('states the limit of uploads and refuses a larger file before anything is sent', async () => {
    const visit = await browser.visit({ role: 'operator' });
    const { page } = visit;
    await visit.open(`restore?from=file&target=${TARGET}`);
    await page.getByText('A .ngbak file of up to 105 MB', { exact: false }).waitFor();
    const large = join(folder, 'large.ngbak');
    const handle = await open(large, 'w');
    await handle.truncate(UPLOAD_BYTES_MAX + 1);
    await handle.close();
    await page.locator('input[type=file]').setInputFiles(large);
    await page.getByText(`the limit of this deployment is ${UPLOAD_BYTES_MAX}`, { exact: false }).waitFor();
    await rm(large);
    visit.assertClean();
  });
});

describe('an upload by form', () => {
  const request = (changes: object = {}) =>
    call<SingleUpload>('POST', 'restore', { file_name: 'archive.ngbak', target: TARGET, ...changes });
  /** `curl -F` with the fields of a request; returns status and response. */
  async function curl(
    post: SingleUpload['post'],
    path = file,
    changes: Record<string, string> = {},
  ): Promise<string> {
    const fields = Object.entries({ ...post.fields, ...changes }).flatMap(([name, value]) => [
      '-F',
      `${name}=${value}`,
    ]);
    const args = ['-sS', '-w', ' %{http_code}', ...fields, '-F', `file=@${path}`, post.url];
    return (await exec('curl', args)).stdout;
  }
  /** Fails the test if an object exists under a request's key, or if its job no longer waits. */
  async function expectNothing({ job_id, key }: SingleUpload): Promise<void> {
    expect(await browser.stack.keys(key)).toEqual([]);
    expect(await isPending(job_id)).toBe('pending');
    await call('POST', `jobs/${job_id}/cancel`);
  }

  async function rejectWaiting(jobId: string): Promise<void> {
    const job = await browser.stack.waitForJob(
      jobId,
      ({ state }) => state !== 'pending' && state !== 'processing',
    );
    expect([job.state, job.error]).toEqual(['awaiting_confirmation', undefined]);
    await call('POST', `restore/${jobId}/reject`, {});
    await browser.stack.waitForJob(jobId);
  }

  test(
    'with curl starts the restore, which waits for its confirmation',
    async () => {
      const wanted = await request();
      expect(await curl(wanted.post)).toMatch(/ 204$/);
      await rejectWaiting(wanted.job_id);
    },
    LONG_MS,
  );

  test(
    'with a browser does too, with the HTML of docs/form-upload.md',
    async () => {
      const text = await readFile('docs/form-upload.md', 'utf8');
      const html = /```html\n([\s\S]*?)```/.exec(text)?.[1] ?? '';
      const wanted = await request();
      const context = await browser.newContext();
      try {
        const page = await context.newPage();
        await page.setContent(html.replace('POST;', `${JSON.stringify(wanted.post)};`));
        await page.locator('input[type=file]').setInputFiles(file);
        const answered = page.waitForResponse((response) => response.request().method() === 'POST');
        await page.getByRole('button', { name: 'Upload' }).click();
        expect((await answered).status()).toBe(204);
        await rejectWaiting(wanted.job_id);
      } finally {
        await context.close();
      }
    },
    LONG_MS,
  );

  testUnless(
    missing('jq'),
    'with the curl commands in docs/form-upload.md does',
    async () => {
      const text = await readFile('docs/form-upload.md', 'utf8');
      const lines = (/```sh\n([\s\S]*?)```/.exec(text)?.[1] ?? '').replace('"default"', `"${TARGET}"`);
      await writeFile(join(folder, 'archive.ngbak'), await readFile(file));
      await exec('bash', ['-eo', 'pipefail', '-c', lines], {
        cwd: folder,
        env: { ...process.env, ...api() },
      });
      const { job_id } = JSON.parse(await readFile(join(folder, 'request.json'), 'utf8')) as SingleUpload;
      await rejectWaiting(job_id);
    },
    LONG_MS,
  );

  test('that is too large, empty, or of another size than announced is refused, and nothing is stored', async () => {
    const large = join(folder, 'large.bin');
    const handle = await open(large, 'w');
    await handle.truncate(UPLOAD_BYTES_MAX + 1);
    await handle.close();
    const empty = join(folder, 'empty.bin');
    await writeFile(empty, '');
    for (const [path, changes, code] of [
      [large, {}, 'EntityTooLarge'],
      [empty, {}, 'EntityTooSmall'],
      [file, { bytes: 17 }, 'EntityTooLarge'],
    ] as const) {
      const wanted = await request(changes);
      expect(await curl(wanted.post, path)).toMatch(new RegExp(`<Code>${code}</Code>[\\s\\S]* 400$`));
      await expectNothing(wanted);
    }
    await rm(large);
  });

  test('to another key, of another type or with an additional field is refused, and nothing is stored', async () => {
    for (const changes of [
      { key: 'backups/forged.ngbak' },
      { key: 'uploads/default/other.ngbak' },
      { 'Content-Type': 'text/html' },
      { acl: 'public-read' },
    ]) {
      const wanted = await request();
      expect(await curl(wanted.post, file, changes)).toMatch(/<Code>AccessDenied<\/Code>[\s\S]* 403$/);
      if (changes.key !== undefined) expect(await browser.stack.keys(changes.key)).toEqual([]);
      await expectNothing(wanted);
    }
  });

  test('after its policy has expired is refused, and nothing is stored', async () => {
    const wanted = await request();
    // The policy of the request, signed by the same function, but expired, since the test cannot wait for 15 minutes.
    const expired = await createPresignedPost(browser.stack.bucket.s3, {
      Bucket: browser.stack.bucket.name,
      Key: wanted.key,
      Expires: -60,
      Fields: { 'Content-Type': wanted.post.fields['Content-Type'] ?? '' },
      Conditions: [['content-length-range', 1, UPLOAD_BYTES_MAX]],
    });
    expect(await curl({ url: wanted.post.url, fields: expired.fields })).toMatch(
      /Policy expired[\s\S]* 403$/,
    );
    await expectNothing(wanted);
  });

  test('is renewed with its idempotency key, for the same job', async () => {
    const headers = { 'idempotency-key': `form-${Date.now()}` };
    const ask = async () => {
      const answer = await fetch(`${browser.stack.apiUrl()}/api/v1/restore`, {
        method: 'POST',
        headers: {
          ...headers,
          authorization: `Bearer ${browser.stack.apiKey('operator')}`,
          'content-type': 'application/json',
        },
        body: JSON.stringify({ file_name: 'archive.ngbak', target: TARGET, dry_run: true }),
      });
      return (await answer.json()) as SingleUpload;
    };
    const first = await ask();
    const again = await ask();
    expect(again).toMatchObject({ job_id: first.job_id, key: first.key, replayed: true });
    expect(await curl(again.post)).toMatch(/ 204$/);
    expect((await browser.stack.waitForJob(first.job_id)).state).toBe('completed');
  });
});
