import type { WebhookKind } from '../core/notify-config.ts';
import type { Severity } from './event.ts';
import { type Message, subjectOf } from './message.ts';

/** Slack's limits for the text of a header and of a section, in characters (Block Kit reference). */
const SLACK_HEADER_MAX = 150;
const SLACK_SECTION_MAX = 3000;

/** The body of a webhook of each kind, as JSON. */
export const FORMATS: Readonly<Record<WebhookKind, (message: Message) => object>> = {
  slack: slackMessage,
  teams: teamsMessage,
  generic: genericEvent,
};

const SLACK_ICONS: Readonly<Record<Severity, string>> = {
  info: ':information_source:',
  warning: ':warning:',
  critical: ':rotating_light:',
};

/** The body of an incoming webhook of Slack: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks */
function slackMessage(message: Message): object {
  const { title, text, recoverability, next, severity } = message;
  const section = (content: string) => ({
    type: 'section',
    text: { type: 'mrkdwn', text: cut(content, SLACK_SECTION_MAX) },
  });
  return {
    // Shown in notifications, and read aloud.
    text: escapeSlack(subjectOf(message)),
    blocks: [
      // Plain text, in which only the names of emoji are replaced.
      {
        type: 'header',
        text: { type: 'plain_text', text: cut(`${SLACK_ICONS[severity]} ${title}`, SLACK_HEADER_MAX) },
      },
      section(escapeSlack(text)),
      ...(recoverability ? [section(escapeSlack(recoverability.text))] : []),
      section(`*Next:* \`${escapeSlack(next)}\``),
      {
        type: 'context',
        elements: [
          { type: 'mrkdwn', text: cut(escapeSlack(factsOf(message).join(' · ')), SLACK_SECTION_MAX) },
        ],
      },
    ],
  };
}

/** Replaces the three characters that Slack interprets: `<!channel>` would notify everyone. */
function escapeSlack(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

const TEAMS_COLORS: Readonly<Record<Severity, string>> = {
  info: 'default',
  warning: 'warning',
  critical: 'attention',
};

/**
 * The body of a webhook of the Workflows app of Teams ("When a Teams webhook request is received"): an adaptive card.
 * Its text runs do not interpret Markdown, in which underscores of IDs would vanish.
 */
function teamsMessage(message: Message): object {
  const { title, text, recoverability, next, severity } = message;
  const paragraph = (content: string, style: object = {}) => ({
    type: 'RichTextBlock',
    inlines: [{ type: 'TextRun', text: content, ...style }],
  });
  return {
    type: 'message',
    attachments: [
      {
        contentType: 'application/vnd.microsoft.card.adaptive',
        contentUrl: null,
        content: {
          $schema: 'http://adaptivecards.io/schemas/adaptive-card.json',
          type: 'AdaptiveCard',
          version: '1.4',
          fallbackText: subjectOf(message),
          msteams: { width: 'Full' },
          body: [
            paragraph(title, { weight: 'bolder', size: 'large', color: TEAMS_COLORS[severity] }),
            ...paragraphs(text).map((line) => paragraph(line)),
            ...(recoverability ? paragraphs(recoverability.text).map((line) => paragraph(line)) : []),
            paragraph(`Next: ${next}`, { fontType: 'monospace' }),
            paragraph(factsOf(message).join(' · '), { isSubtle: true, size: 'small' }),
          ],
        },
      },
    ],
  };
}

/** The event as JSON (docs/notifications.md), with the three members that Standard Webhooks recommends. */
function genericEvent(message: Message): object {
  const { id, type, at, local_time: _, ...data } = message;
  return { type, timestamp: at, data: { event_id: id, ...data } };
}

function factsOf({ deployment, target, job_id, backup_id, local_time }: Message): string[] {
  return [deployment, target, job_id, backup_id, local_time].filter((fact) => fact !== undefined);
}

function paragraphs(text: string): string[] {
  return text.split('\n').filter((line) => line !== '');
}

/** Shortens a text, without leaving a part of an escaped character. */
function cut(text: string, max: number): string {
  return text.length <= max ? text : `${text.slice(0, max - 1).replace(/&[a-z]*$/, '')}…`;
}
