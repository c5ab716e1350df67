import { gzipSync } from 'node:zlib';
import { expect, test } from '@jest/globals';
import { checkContent, checkNameAndSize } from '../../../dashboard/upload/archive-file.ts';
import { cutIntoParts } from '../../../dashboard/upload/parts.ts';
import { explainAnswer } from '../../../dashboard/upload/send-part.ts';
import { Speed } from '../../../dashboard/upload/speed.ts';
import { fc } from '../../fast-check.ts';

test('a file with another extension, an empty, a truncated and an oversized one are refused before anything is read', () => {
  expect(checkNameAndSize({ name: 'Backup.NGBAK', size: 5000 })).toBeUndefined();
  expect(checkNameAndSize({ name: 'backup.zip', size: 5000 })?.problem).toContain('does not end in .ngbak');
  expect(checkNameAndSize({ name: 'a.ngbak', size: 0 })?.problem).toContain('is empty');
  expect(checkNameAndSize({ name: 'a.ngbak', size: 20 })?.problem).toContain('20 bytes');
  expect(checkNameAndSize({ name: 'a.ngbak', size: 5001 }, 5000)?.problem).toContain(
    'limit of this deployment is 5000',
  );
});

test('a renamed file is refused by its first bytes, and its real type is named', async () => {
  const named = (data: Uint8Array) => new File([Uint8Array.from(data)], 'a.ngbak');
  expect(await checkContent(named(gzipSync('x')))).toBeUndefined();
  expect(await checkContent(named(Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0)))).toBeUndefined();
  expect((await checkContent(named(Buffer.from('PK\x03\x04'))))?.problem).toContain('it is a ZIP file');
  expect((await checkContent(named(Buffer.from('hello there'))))?.problem).toMatch(
    /is not an ngbak archive\.$/,
  );
});

test('parts cover the file without gap or overlap, and all but the last have the same size', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 100_000 }),
      fc.integer({ min: 10, max: 10_000 }),
      (size, partBytes) => {
        const parts = cutIntoParts(size, partBytes);
        let end = 0;
        for (const [i, part] of parts.entries()) {
          expect([part.number, part.offset]).toEqual([i + 1, end]);
          if (i < parts.length - 1) expect(part.bytes).toBe(partBytes);
          expect(part.bytes).toBeGreaterThan(0);
          end += part.bytes;
        }
        expect(end).toBe(size);
      },
    ),
  );
});

test('the rate is that of the last seconds, and is not distorted by a pause or a part sent again', () => {
  const speed = new Speed();
  expect(speed.bytesPerSecond()).toBeUndefined();
  for (let second = 0; second <= 60; second++) speed.sample(second * 100, second * 1000);
  for (let second = 61; second <= 80; second++) speed.sample(6000 + (second - 60) * 300, second * 1000);
  expect(speed.bytesPerSecond()).toBeCloseTo(300);
  speed.sample(50, 81_000);
  expect(speed.bytesPerSecond()).toBeUndefined();
  speed.sample(150, 82_000);
  expect(speed.bytesPerSecond()).toBeCloseTo(100);
});

test.each([
  [404, '<Error><Code>NoSuchUpload</Code></Error>', 'gone'],
  [403, '<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>', 'address'],
  [503, '<Error><Code>SlowDown</Code></Error>', 'retry'],
  [500, '', 'retry'],
  [400, '<Error><Code>RequestTimeout</Code></Error>', 'retry'],
  [400, '<Error><Code>EntityTooLarge</Code></Error>', 'refused'],
])('a response of S3 is interpreted: %s %s is %s', (status, text, failure) => {
  expect(explainAnswer(status, text)).toMatchObject({ failure });
});
