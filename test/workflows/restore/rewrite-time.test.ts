import { gzipSync } from 'node:zlib';
import { describe, expect, test } from '@jest/globals';
import type { ByteSource } from '../../../shared/archive/format/types.ts';
import { normalizeArchive } from '../../../shared/archive/write/normalize.ts';
import { InvalidInputError } from '../../../shared/core/errors.ts';
import { refuseIfTooLong } from '../../../shared/workflows/restore/rewrite-time.ts';

const MINUTE = 60_000;

describe('rewriting an archive that another tool has packed', () => {
  const reportAfter = (minutes: number, done: number, total: number) => () => {
    let clock = 0;
    const report = refuseIfTooLong(13 * MINUTE, () => clock);
    clock = minutes * MINUTE;
    report(done, total);
  };

  test('is refused as soon as it is clear that one function does not have the time, with an alternative that works', () => {
    expect(reportAfter(1, 1e9, 50e9)).toThrow(InvalidInputError);
    expect(reportAfter(1, 1e9, 50e9)).toThrow(/would take about 50 minutes; a function has 13/);
    const remedy = (() => {
      try {
        reportAfter(1, 1e9, 50e9)();
      } catch (error) {
        return (error as InvalidInputError).remedy;
      }
      return '';
    })();
    expect(remedy).toMatch(/Nothing was changed\. Run `ngbak archive repack OLD NEW`/);
  });

  test('ends in the same refusal if its time runs out, so that no retry spends it again', () => {
    expect(reportAfter(13.1, 9e9, 10e9)).toThrow(InvalidInputError);
  });

  test('continues if the time suffices, and is not judged by its first seconds', () => {
    expect(reportAfter(1, 1e9, 10e9)).not.toThrow();
    expect(reportAfter(0.1, 1e6, 50e9)).not.toThrow();
    expect(reportAfter(12, 9.9e9, 10e9)).not.toThrow();
  });

  test('ends with the error that its progress report throws', async () => {
    const bytes = gzipSync(Buffer.alloc(1 << 20, 'x'));
    const source: ByteSource = {
      size: bytes.length,
      name: 'an archive',
      async *read(offset, length) {
        for (const byte of bytes.subarray(offset, offset + length)) yield Buffer.of(byte);
      },
    };
    const refusal = new InvalidInputError('too long', { remedy: 'repack' });
    const rewriting = normalizeArchive(source, {
      progress() {
        throw refusal;
      },
    });
    await expect(rewriting.next()).rejects.toBe(refusal);
  });
});
