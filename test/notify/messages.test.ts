/** The text of each event, and its formats. */
import { describe, expect, test } from '@jest/globals';
import { Webhook } from 'standardwebhooks';
import { EVENT_TYPES, type EventType, NotifyEvent } from '../../shared/notify/event.ts';
import { FORMATS } from '../../shared/notify/formats.ts';
import { composeMessage, plainText, subjectOf, type Verdict } from '../../shared/notify/message.ts';
import { isSigningKey, signedHeaders } from '../../shared/notify/sign.ts';

const ADDRESSES = [
  'bolt+s://neo4j.internal.example:7687',
  'neo4j.internal.example',
  '10.1.2.3:6379',
  '[fd00::7]:7687',
  'redis-master:6379',
];
const DETAIL = `The graph at ${ADDRESSES[0]} of target "kb" cannot be read: getaddrinfo ENOTFOUND ${ADDRESSES[1]}, connect ECONNREFUSED ${ADDRESSES[2]}, ${ADDRESSES[3]}, ${ADDRESSES[4]}. See docs/runbook.md#a-rollback-failed.`;

const VERDICT: Verdict = {
  recoverable: 'yes_with_warnings',
  reasons: [
    { severity: 'warning', text: `The last backup failed: ${DETAIL}` },
    { severity: 'note', text: 'No restore was rehearsed.' },
  ],
  backup: { backup_id: 'snapshot_2026-11-28T02-00-00Z', created_at: '2026-11-28T02:00:00.000Z' },
  rpo_seconds: 93_600,
  rto_seconds: 754,
};

/** An event of each type, with everything that its functions record. */
const event = (type: EventType): NotifyEvent =>
  NotifyEvent.parse({
    id: `job-1.${type}`,
    type,
    at: '2026-11-29T04:00:00.000Z',
    ...(type === 'alarm' || type === 'test' ? {} : { target: 'kb' }),
    ...(/^(backup|restore|drill|data)/.test(type) ? { job_id: 'job-1' } : {}),
    ...(/^(backup\.(incomplete|suspicious|drifted)|restore|target.locked)/.test(type)
      ? { backup_id: 'b-1' }
      : {}),
    detail: DETAIL,
    requested_by: 'ada',
    records: 12_345,
    bytes: 1_500_000,
    seconds: 754,
    warnings: 2,
    conditions: [DETAIL, 'The target is locked.'],
    alarm: { name: 'Ngbak-Ends-left', state: 'ALARM' },
  });

const message = (type: EventType, verdict: Verdict | undefined = VERDICT) =>
  composeMessage(event(type), { deployment: 'Ngbak', timeZone: 'Europe/Berlin', verdict });

/** What an operator must find in the message of each event: in the subject, and the next command. */
const EXPECTED: Record<EventType, [subject: RegExp, next: string]> = {
  'backup.failed': [/Backup of "kb" failed/, 'ngbak job job-1'],
  'backup.missed': [/Backup of "kb" is missing/, 'ngbak backup --wait --target kb'],
  'backup.incomplete': [/Backup of "kb" has warnings/, 'ngbak show b-1'],
  'backup.suspicious': [/Backup of "kb" is empty or much smaller/, 'ngbak show b-1'],
  'backup.drifted': [/Backups of "kb" drift repeatedly/, 'ngbak show b-1'],
  'backup.not_copied': [/Copy of the backup of "kb" is missing/, 'ngbak status kb'],
  'drill.failed': [/Drill of "kb" failed/, 'ngbak drills job-1'],
  'drill.overdue': [/Drill of "kb" is overdue/, 'ngbak drill --wait --target kb'],
  'restore.started': [/Restore into "kb" started/, 'ngbak job job-1 --wait'],
  'restore.awaiting_approval': [/Restore into "kb" awaits approval/, 'ngbak job job-1'],
  'restore.completed': [/Restore into "kb" completed/, 'ngbak job job-1'],
  'restore.failed': [/Restore into "kb" failed/, 'ngbak job job-1'],
  'restore.rolled_back': [/Restore into "kb" was rolled back/, 'ngbak job job-1'],
  'data.changed': [/Integrity check failed for "kb"/, 'ngbak job job-1'],
  'target.locked': [/Target "kb" is locked/, 'ngbak restore b-1 --target kb'],
  'target.not_recoverable': [/Target "kb" is not recoverable/, 'ngbak status kb'],
  'target.recoverable': [/Target "kb" is recoverable again/, 'ngbak status kb'],
  'target.reminder': [/Reminder: target "kb" needs attention/, 'ngbak status kb'],
  alarm: [/Alarm Ngbak-Ends-left: ALARM/, 'ngbak status'],
  test: [/Test message/, 'ngbak status'],
};

describe.each(EVENT_TYPES)('the message of %s', (type) => {
  test('states what happened, what it means for recoverability, and the next command', () => {
    const [subject, next] = EXPECTED[type];
    expect(subjectOf(message(type))).toMatch(subject);
    const text = plainText(message(type));
    expect(text).toContain(`\nNext: ${next}\n`);
    expect(text).toContain('Time: 2026-11-29 05:00 CET');
    if (type === 'alarm' || type === 'test') return;
    expect(text).toContain('Recoverable: yes, with warnings.');
    expect(text).toContain(
      'snapshot_2026-11-28T02-00-00Z of 2026-11-28 03:00 CET and lose the last 26 h 0 min',
    );
    expect(text).toContain('about 12 min 34 s');
    expect(text).not.toContain('No restore was rehearsed');
  });

  test('has a subject that SNS accepts', () => {
    const long = {
      ...message(type),
      deployment: 'N'.repeat(40),
      title: `${message(type).title} – ${'ü'.repeat(90)}`,
    };
    for (const one of [message(type), long]) {
      expect(subjectOf(one)).toMatch(/^[\x20-\x7e]{1,100}$/);
    }
  });

  test('contains no address in any format, and is bounded', () => {
    const huge = { ...event(type), detail: DETAIL.repeat(10).slice(0, 4000) };
    const composed = composeMessage(huge, { deployment: 'Ngbak', timeZone: 'UTC', verdict: VERDICT });
    for (const text of [
      plainText(composed),
      ...Object.values(FORMATS).map((format) => JSON.stringify(format(composed))),
    ]) {
      for (const address of ADDRESSES) expect(text).not.toContain(address);
      // Slack refuses 40,000 characters, and Teams 28 KB.
      expect(text.length).toBeLessThan(20_000);
    }
  });
});

test('a message without a verdict says so', () => {
  const text = plainText(composeMessage(event('backup.failed'), { deployment: 'Ngbak', timeZone: 'UTC' }));
  expect(text).toContain('Recoverable: could not be determined. Run `ngbak status`.');
});

test('a target that is not recoverable is named as such, with the first three reasons', () => {
  const reasons = [1, 2, 3, 4, 5].map((number) => ({ severity: 'no', text: `Reason ${number}.` }));
  const text = plainText(message('backup.failed', { recoverable: 'no', reasons }));
  expect(text).toContain(
    'Recoverable: NO.\n- Reason 1.\n- Reason 2.\n- Reason 3.\n- and 2 more: `ngbak status`',
  );
});

describe('the format of', () => {
  const hostile = composeMessage(
    NotifyEvent.parse({ ...event('backup.failed'), detail: `<!channel> & ${'x'.repeat(3900)}` }),
    { deployment: 'Ngbak', timeZone: 'UTC', verdict: VERDICT },
  );

  test('Slack has blocks within its limits, and no markup from data', () => {
    const body = FORMATS.slack(hostile) as {
      text: string;
      blocks: { type: string; text?: { type: string; text: string }; elements?: { text: string }[] }[];
    };
    expect(body.text).toBe('[Ngbak] Backup of "kb" failed');
    expect(body.blocks.map(({ type }) => type)).toEqual([
      'header',
      'section',
      'section',
      'section',
      'context',
    ]);
    for (const { type, text } of body.blocks) {
      expect(text?.text.length ?? 0).toBeLessThanOrEqual(type === 'header' ? 150 : 3000);
    }
    expect(JSON.stringify(body)).not.toContain('<!channel>');
    expect(JSON.stringify(body)).toContain('&lt;!channel&gt; &amp;');
    expect(JSON.stringify(body)).toContain('*Next:* `ngbak job job-1`');
  });

  test('Teams is a message of the Workflows app with one adaptive card, whose texts are not interpreted', () => {
    const body = FORMATS.teams(hostile) as {
      type: string;
      attachments: {
        contentType: string;
        content: { type: string; version: string; body: { type: string }[] };
      }[];
    };
    expect(body.type).toBe('message');
    expect(body.attachments).toHaveLength(1);
    const [attachment] = body.attachments;
    expect(attachment).toMatchObject({
      contentType: 'application/vnd.microsoft.card.adaptive',
      content: { type: 'AdaptiveCard', version: '1.4' },
    });
    expect(new Set(attachment?.content.body.map(({ type }) => type))).toEqual(new Set(['RichTextBlock']));
    expect(JSON.stringify(body).length).toBeLessThan(28 * 1024);
  });

  test('the generic event has the documented members', () => {
    expect(FORMATS.generic(message('restore.completed'))).toEqual({
      type: 'restore.completed',
      timestamp: '2026-11-29T04:00:00.000Z',
      data: {
        event_id: 'job-1.restore.completed',
        severity: 'info',
        deployment: 'Ngbak',
        target: 'kb',
        job_id: 'job-1',
        backup_id: 'b-1',
        title: 'Restore into "kb" completed',
        text: 'Every record was read back and compared with the archive: 12,345 records, 1.5 MB, in 12 min 34 s. Requested by: ada.',
        recoverability: {
          verdict: 'yes_with_warnings',
          text: expect.stringContaining('Recoverable: yes, with warnings.'),
        },
        next: 'ngbak job job-1',
      },
    });
  });
});

describe('a signature', () => {
  const key = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
  const body = JSON.stringify({ type: 'test', text: 'ü' });

  test('is accepted by the reference library of Standard Webhooks, for this body and time only', () => {
    const headers = signedHeaders(key, 'msg_1', new Date(), body);
    expect(new Webhook(key).verify(body, headers)).toEqual({ type: 'test', text: 'ü' });
    expect(() => new Webhook(key).verify(`${body} `, headers)).toThrow(/No matching signature/);
    expect(() => new Webhook(key).verify(body, { ...headers, 'webhook-id': 'msg_2' })).toThrow();
    const old = signedHeaders(key, 'msg_1', new Date(Date.now() - 600_000), body);
    expect(() => new Webhook(key).verify(body, old)).toThrow(/too old/);
    const other = `whsec_${Buffer.alloc(32, 8).toString('base64')}`;
    expect(() => new Webhook(other).verify(body, headers)).toThrow(/No matching signature/);
  });

  test.each([
    [key, true],
    [`whsec_${Buffer.alloc(64).toString('base64')}`, true],
    [`whsec_${Buffer.alloc(23).toString('base64')}`, false],
    [`whsec_${Buffer.alloc(65).toString('base64')}`, false],
    ['whsec_not base64 at all, but long enough for a key', false],
    [Buffer.alloc(32).toString('base64'), false],
  ])('key %s is valid: %s', (text, valid) => {
    expect(isSigningKey(text)).toBe(valid);
  });
});
