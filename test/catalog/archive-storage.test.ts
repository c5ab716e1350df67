import { describe, expect, test } from '@jest/globals';
import {
  coldPlaceOf,
  inClassSince,
  listedStorage,
  thawOffers,
  thawStateOf,
} from '../../shared/catalog/archive-storage.ts';
import { offerText, usdText } from '../../shared/core/cost-text.ts';
import {
  earlyDeletionUsd,
  isPriced,
  PriceOverrides,
  pricesOf,
  storageUsd,
  thawUsd,
} from '../../shared/core/prices.ts';
import { STORAGE_CLASSES } from '../../shared/core/storage-class.ts';

const GIB = 1024 ** 3;
const EXPIRY = 'Fri, 04 Dec 2026 00:00:00 GMT';

describe('an archive', () => {
  test.each([
    ['in STANDARD', {}, undefined, { state: 'readable' }],
    ['in GLACIER_IR', { StorageClass: 'GLACIER_IR' }, undefined, { state: 'readable' }],
    ['in GLACIER', { StorageClass: 'GLACIER' }, 'GLACIER', { state: 'cold' }],
    [
      'in a tier of INTELLIGENT_TIERING',
      { StorageClass: 'INTELLIGENT_TIERING', ArchiveStatus: 'ARCHIVE_ACCESS' },
      'ARCHIVE_ACCESS',
      { state: 'cold' },
    ],
    [
      'that is being thawed',
      { StorageClass: 'DEEP_ARCHIVE', Restore: 'ongoing-request="true"' },
      'DEEP_ARCHIVE',
      { state: 'thawing' },
    ],
    [
      'that is thawed',
      { StorageClass: 'GLACIER', Restore: `ongoing-request="false", expiry-date="${EXPIRY}"` },
      'GLACIER',
      { state: 'thawed', readable_until: '2026-12-04T00:00:00.000Z' },
    ],
    [
      'that is thawed until a time that cannot be read',
      { StorageClass: 'GLACIER', Restore: 'ongoing-request="false", expiry-date="x"' },
      'GLACIER',
      { state: 'thawed' },
    ],
  ])('%s is recognized by the answer of S3', (_, head, place, state) => {
    expect(coldPlaceOf(head as never)).toBe(place);
    expect(thawStateOf(head as never)).toEqual(state);
  });

  test.each([
    ['GLACIER_IR', undefined, { state: 'readable' }],
    ['GLACIER', undefined, { state: 'cold' }],
    ['GLACIER', { IsRestoreInProgress: true }, { state: 'thawing' }],
    [
      'GLACIER',
      { IsRestoreInProgress: false, RestoreExpiryDate: new Date(EXPIRY) },
      { state: 'thawed', readable_until: '2026-12-04T00:00:00.000Z' },
    ],
  ])('in %s with the status %j is recognized in a listing', (storageClass, restore, state) => {
    expect(listedStorage({ storageClass, restore })).toEqual({ storage_class: storageClass, ...state });
  });

  test('has been in its class since it was created, or since the midnight after the days of its transition', () => {
    const record = { created_at: '2026-01-01T23:00:00.000Z', completed_at: '2026-01-02T01:00:00.000Z' };
    const transitions = [{ days: 30, storage_class: 'GLACIER' as const }];
    expect(inClassSince(record, 'STANDARD', transitions)).toBe(record.completed_at);
    expect(inClassSince(record, 'GLACIER', transitions)).toBe('2026-02-02T00:00:00.000Z');
    // Moved by someone else, or by an earlier configuration.
    expect(inClassSince(record, 'DEEP_ARCHIVE', transitions)).toBeUndefined();
    const colder = { ...record, storage_class: 'GLACIER_IR' };
    expect(inClassSince(colder, 'GLACIER_IR', transitions)).toBe(record.completed_at);
    expect(inClassSince(colder, 'STANDARD')).toBeUndefined();
  });
});

describe('prices', () => {
  const us = pricesOf('us-east-1');

  test('of storage are those of the class, with the billed minimum and metadata of each object', () => {
    expect(storageUsd(us, 'STANDARD', { bytes: GIB, objects: 1 })).toBeCloseTo(0.023, 6);
    // 128 KiB are billed for each.
    const small = { bytes: 10, objects: 8192 };
    expect(storageUsd(us, 'STANDARD', small)).toBeCloseTo(0, 6);
    expect(storageUsd(us, 'GLACIER_IR', small)).toBeCloseTo(0.004, 6);
    // 32 KiB in the class and 8 KiB in STANDARD for each.
    expect(storageUsd(us, 'DEEP_ARCHIVE', { bytes: 0, objects: 32_768 })).toBeCloseTo(
      0.00099 + 0.25 * 0.023,
      6,
    );
  });

  test('fall from class to class, so that a transition never costs more a month', () => {
    for (const region of ['us-east-1', 'eu-central-1', 'sa-east-1', 'ap-northeast-1']) {
      const monthly = STORAGE_CLASSES.filter((name) => name !== 'INTELLIGENT_TIERING').map((name) =>
        storageUsd(pricesOf(region), name, { bytes: 100 * GIB, objects: 1 }),
      );
      expect(monthly).toEqual([...monthly].sort((a, b) => b - a));
    }
  });

  test('of thawing include retrieval, request and the days of the copy', () => {
    const days = 30;
    expect(thawUsd(us, 'GLACIER', 'standard', { bytes: GIB, days })).toBeCloseTo(0.01 + 0.00005 + 0.023, 6);
    expect(thawUsd(us, 'GLACIER', 'expedited', { bytes: GIB, days })).toBeCloseTo(0.03 + 0.01 + 0.023, 6);
    expect(thawUsd(us, 'DEEP_ARCHIVE', 'bulk', { bytes: GIB, days })).toBeCloseTo(
      0.0025 + 0.000025 + 0.023,
      6,
    );
    expect(thawUsd(us, 'ARCHIVE_ACCESS', 'standard', { bytes: GIB, days })).toBe(0);
  });

  test('of an early deletion are those of the rest of the minimum duration', () => {
    const since = new Date('2026-01-01T00:00:00Z');
    const after = (days: number) => new Date(since.getTime() + days * 24 * 60 * 60 * 1000);
    const of = (name: 'STANDARD' | 'DEEP_ARCHIVE', days: number) =>
      earlyDeletionUsd(us, name, { bytes: 1000 * GIB, since, now: after(days) });
    expect(of('STANDARD', 0)).toBe(0);
    expect(of('DEEP_ARCHIVE', 0)).toBeCloseTo(6 * 0.99, 2);
    expect(of('DEEP_ARCHIVE', 150)).toBeCloseTo(0.99, 2);
    expect(of('DEEP_ARCHIVE', 180)).toBe(0);
  });

  test('of regions outside of the table are those of similar ones, and given ones take precedence', () => {
    expect([isPriced('eu-central-1'), isPriced('ap-southeast-9')]).toEqual([true, false]);
    expect(pricesOf('ap-southeast-9').storage.STANDARD).toBe(0.025);
    const given = PriceOverrides.parse({
      date: 'offer of May',
      storage: { STANDARD: 0.02 },
      thaw: { GLACIER: {} },
    });
    const prices = pricesOf('us-east-1', given);
    expect(prices.storage).toEqual({ ...us.storage, STANDARD: 0.02 });
    expect(prices.thaw).toEqual({ ...us.thaw, GLACIER: {} });
    expect(() => PriceOverrides.parse({ storage: { STANDARD: -1 } })).toThrow();
    expect(() => PriceOverrides.parse({ stroage: {} })).toThrow();
  });

  test('are named as estimates', () => {
    expect([0, 0.004, 1.234, 1234.5].map(usdText)).toEqual([
      'no charge',
      'less than USD 0.01',
      'about USD 1.23',
      'about USD 1,235',
    ]);
    expect(thawOffers('DEEP_ARCHIVE', 100 * GIB, 'us-east-1').map(offerText)).toEqual([
      'standard: 9 to 12 hours, about USD 2.54',
      'bulk: 24 to 48 hours, about USD 0.79',
    ]);
  });
});
