/** Who is notified, as the API, the CLI and the dashboard show it. */
import { expect, test } from '@jest/globals';
import { OUTBOX, RECEIVERS_KEY } from '../../shared/aws/keys.ts';
import { NotifyConfig } from '../../shared/core/notify-config.ts';
import type { Receiver } from '../../shared/notify/receivers.ts';
import { showNotifications, testNotifications } from '../../shared/operations/notifications.ts';
import { freshContext } from './context.ts';

const NOW = Date.parse('2026-11-29T12:00:00.000Z');
const ready: Receiver = { name: 'chat', kind: 'slack', ready: true };
const unconfirmed: Receiver = {
  name: 'ops@example.com',
  kind: 'email',
  ready: false,
  problem: 'Not confirmed.',
};

/** A deployment whose receivers were checked some minutes ago, or never. */
async function deployment(options: { notify?: boolean; receivers?: readonly Receiver[]; minutes?: number }) {
  const { bucket, config } = await freshContext({ config: true });
  const { notify = true, receivers, minutes = 5 } = options;
  if (receivers) {
    const checked_at = new Date(NOW - minutes * 60_000).toISOString();
    await bucket.writeRecord(RECEIVERS_KEY, { checked_at, receivers });
  }
  if (!config) throw new Error('The context has no configuration.');
  return { bucket, config: notify ? { ...config, notify: NotifyConfig.parse({}) } : config };
}
const warningOf = async (options: Parameters<typeof deployment>[0]) =>
  (await showNotifications(await deployment(options), NOW)).warning?.text;

test('a deployment without receivers is reported, also if an earlier deployment had some', async () => {
  expect(await warningOf({ notify: false })).toMatch(/^Nobody is notified .* no receiver is configured\.$/);
  expect(await warningOf({ notify: false, receivers: [ready] })).toMatch(/no receiver is configured/);
});

test('receivers that are ready are no reason for a warning', async () => {
  expect(await warningOf({ receivers: [ready] })).toBeUndefined();
  expect(await warningOf({})).toBeUndefined();
});

test('receivers that cannot receive anything are reported, and if there is no other one, that nobody is notified', async () => {
  expect(await warningOf({ receivers: [ready, unconfirmed] })).toBe(
    '1 of 2 receivers of notifications cannot receive anything. email ops@example.com: Not confirmed.',
  );
  expect(await warningOf({ receivers: [unconfirmed] })).toMatch(
    /^Nobody is notified: no receiver is ready\./,
  );
});

test('a function that has stopped is reported', async () => {
  expect(await warningOf({ receivers: [ready], minutes: 90 })).toMatch(/does not run/);
});

test('without the configuration, the recent check decides', async () => {
  const { bucket } = await deployment({ receivers: [ready] });
  expect((await showNotifications({ bucket }, NOW)).warning).toBeUndefined();
  expect((await showNotifications({ bucket }, NOW + 2 * 3_600_000)).warning?.text).toMatch(
    /no receiver is configured/,
  );
});

test('a test without receivers is refused, and one that nobody delivers ends in time', async () => {
  const none = await deployment({ notify: false });
  await expect(testNotifications(none, 'ada', () => 10_000)).rejects.toThrow(/No receiver is configured/);
  const keys: string[] = [];
  for await (const { key } of none.bucket.keys(OUTBOX)) keys.push(key);
  expect(keys).toEqual([]);
  const stopped = await deployment({});
  await expect(testNotifications(stopped, 'ada', () => 4000)).rejects.toThrow(/was not delivered in time/);
});
