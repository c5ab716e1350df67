import { createHash, randomBytes } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { sha256 } from '../../../dashboard/upload/digest.ts';
import { UploadError } from '../../../dashboard/upload/errors.ts';
import type { FilePart } from '../../../dashboard/upload/parts.ts';
import type { SendPart } from '../../../dashboard/upload/send-part.ts';
import { Upload, type UploadApi, type UploadState } from '../../../dashboard/upload/upload.ts';

const PART = 1000;

/**
 * The bucket in memory: only here can it fail at exactly the part, and in the way, that a test needs. The real one is
 * tested in test/stack/dashboard-restore.test.ts.
 */
class FakeBucket implements UploadApi {
  readonly partBytes = PART;
  readonly stored = new Map<number, Uint8Array>();
  readonly calls: string[] = [];
  completed = 0;
  aborted = 0;
  most = 0;
  #now = 0;
  /** Throws, or waits, before part `number` is accepted. */
  before: (number: number) => void | Promise<void> = () => undefined;

  parts() {
    return Promise.resolve(
      [...this.stored].map(([number, data]) => ({
        number,
        bytes: data.length,
        sha256: createHash('sha256').update(data).digest('hex'),
      })),
    );
  }
  address(part: FilePart, digest: string) {
    return Promise.resolve({ url: `part:${part.number}`, headers: { digest } });
  }
  complete() {
    this.completed++;
    return Promise.resolve();
  }
  abort() {
    this.aborted++;
    this.stored.clear();
    return Promise.resolve();
  }
  readonly send: SendPart = async (address, data, { signal, onProgress }) => {
    const number = Number(address.url.split(':')[1]);
    this.calls.push(address.url);
    this.most = Math.max(this.most, ++this.#now);
    try {
      onProgress(data.byteLength / 2);
      await new Promise((resolve) => setTimeout(resolve, 1));
      await this.before(number);
      signal.throwIfAborted();
      expect(address.headers.digest).toBe(await sha256(data));
      onProgress(data.byteLength);
      this.stored.set(number, new Uint8Array(data));
    } finally {
      this.#now--;
    }
  };
  content(): Buffer {
    return Buffer.concat([...this.stored].sort(([a], [b]) => a - b).map(([, data]) => data));
  }
}

const noWait = () => Promise.resolve();
const bytes = randomBytes(10 * PART + 123);
const file = new Blob([bytes]);

function begin(bucket: FakeBucket, of: Blob = file) {
  const upload = new Upload({ api: bucket, file: of, send: bucket.send, wait: noWait });
  const states: UploadState[] = [];
  upload.subscribe(() => states.push(upload.state()));
  return { upload, states };
}

describe('an upload', () => {
  test('sends every byte to its place, with its SHA-256, four parts at once, and completes once', async () => {
    const bucket = new FakeBucket();
    const { upload, states } = begin(bucket);
    await upload.resume();
    expect(bucket.content().equals(bytes)).toBe(true);
    expect([bucket.calls.length, bucket.completed, bucket.most]).toEqual([11, 1, 4]);
    expect(upload.state()).toMatchObject({ phase: 'completed', bytesDone: bytes.length });
    expect(states.map(({ phase }) => phase).filter((phase, i, all) => phase !== all[i - 1])).toEqual([
      'checking',
      'uploading',
      'completing',
      'completed',
    ]);
  });

  test('retries a part after network errors and expired addresses, and reports when it waits', async () => {
    const bucket = new FakeBucket();
    const failures = [new UploadError('retry', 'broke'), new UploadError('address', 'expired')];
    bucket.before = () => {
      const failure = failures.shift();
      if (failure) throw failure;
    };
    const small = file.slice(0, PART);
    const { upload, states } = begin(bucket, small);
    await upload.resume();
    expect(bucket.content().equals(bytes.subarray(0, PART))).toBe(true);
    expect(bucket.calls).toEqual(['part:1', 'part:1', 'part:1']);
    const waited = states.filter(({ phase }) => phase === 'waiting').map(({ problem }) => problem?.message);
    expect(waited).toEqual(['broke', 'expired']);
  });

  test('pauses with the reason if retries do not help, and resumes from there', async () => {
    const bucket = new FakeBucket();
    bucket.before = (number) => {
      if (number === 5) throw new UploadError('retry', 'The network is away.');
    };
    const { upload } = begin(bucket);
    await upload.resume();
    expect(upload.state()).toMatchObject({ phase: 'paused', problem: { message: 'The network is away.' } });
    expect(bucket.completed).toBe(0);
    const there = bucket.stored.size;
    bucket.calls.length = 0;
    bucket.before = () => undefined;
    await upload.resume();
    expect(bucket.content().equals(bytes)).toBe(true);
    expect([bucket.calls.length, upload.state().phase]).toEqual([11 - there, 'completed']);
  });

  test('does not retry errors that are permanent', async () => {
    const bucket = new FakeBucket();
    bucket.before = () => {
      throw new UploadError('gone', 'S3 no longer knows this upload.');
    };
    const { upload } = begin(bucket);
    await upload.resume();
    expect(bucket.calls.length).toBeLessThanOrEqual(4);
    expect(upload.state().problem?.message).toContain('no longer knows');
  });

  test('paused by the user, sends nothing, reports no problem, and resumes with the missing parts', async () => {
    const bucket = new FakeBucket();
    const { upload } = begin(bucket);
    let paused: Promise<void> | undefined;
    bucket.before = (number) => {
      if (number === 6) paused = upload.pause();
    };
    await upload.resume();
    await paused;
    const sent = bucket.calls.length;
    expect(upload.state()).toMatchObject({ phase: 'paused' });
    expect(upload.state().problem).toBeUndefined();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect([bucket.calls.length, bucket.completed]).toEqual([sent, 0]);
    bucket.before = () => undefined;
    await upload.resume();
    expect(bucket.content().equals(bytes)).toBe(true);
  });

  test('that is cancelled deletes its parts and cannot be resumed', async () => {
    const bucket = new FakeBucket();
    const { upload } = begin(bucket);
    let cancelled: Promise<void> | undefined;
    bucket.before = (number) => {
      if (number === 6) cancelled ??= upload.cancel();
    };
    await upload.resume();
    await cancelled;
    expect([upload.state().phase, bucket.aborted, bucket.completed, bucket.stored.size]).toEqual([
      'cancelled',
      1,
      0,
      0,
    ]);
    await upload.resume();
    expect(bucket.completed).toBe(0);
  });

  test('that is restarted after a reload sends only what S3 lacks or has in another size', async () => {
    const bucket = new FakeBucket();
    await begin(bucket).upload.resume();
    bucket.stored.delete(3);
    bucket.stored.set(7, new Uint8Array(5));
    bucket.calls.length = 0;
    await begin(bucket).upload.resume();
    expect(bucket.calls.sort()).toEqual(['part:3', 'part:7']);
    expect(bucket.content().equals(bytes)).toBe(true);
  });

  test('that is restarted with another file of the same size refuses it and leaves the uploaded parts', async () => {
    const bucket = new FakeBucket();
    await begin(bucket).upload.resume();
    bucket.stored.delete(3);
    const other = Buffer.from(bytes);
    other[9 * PART + 7] = (other[9 * PART + 7] ?? 0) ^ 1;
    const { upload } = begin(bucket, new Blob([other]));
    await upload.resume();
    expect(upload.state()).toMatchObject({
      phase: 'paused',
      problem: { message: expect.stringContaining('not the file') },
    });
    expect([bucket.stored.has(3), bucket.completed]).toEqual([false, 1]);
  });

  test('reports a file that can no longer be read', async () => {
    const bucket = new FakeBucket();
    const gone = Object.assign(new Blob([bytes]), {
      slice: () => ({ arrayBuffer: () => Promise.reject(new DOMException('gone', 'NotReadableError')) }),
    });
    const { upload } = begin(bucket, gone as unknown as Blob);
    await upload.resume();
    expect(upload.state().problem?.message).toContain('can no longer be read');
    expect(bucket.calls).toEqual([]);
  });
});
