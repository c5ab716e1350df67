import { join } from 'node:path';
import { Logger } from '@aws-lambda-powertools/logger';
import { handle, type LambdaContext, type LambdaEvent } from 'hono/aws-lambda';
import { z } from 'zod';
import { AccessList, Authenticator, CachedAccessList } from '../shared/api/access.ts';
import { makeApi } from '../shared/api/app.ts';
import { DASHBOARD_FOLDER } from '../shared/api/pages.ts';
import { loadSecret, redact, redactFields } from '../shared/aws/secrets.ts';
import { signatureKeys } from '../shared/catalog/signature.ts';
import { describeError } from '../shared/core/errors.ts';
import { parseInput } from '../shared/core/input.ts';
import { Scheduler } from '../shared/schedules/scheduler.ts';
import { readEnvironment } from '../shared/workflows/environment.ts';

/** Environment variables that the stack sets for this function, in addition to those of every function. */
const Settings = z.object({
  NGBAK_BACKUP_STATE_MACHINE_ARN: z.string().startsWith('arn:'),
  NGBAK_RESTORE_STATE_MACHINE_ARN: z.string().startsWith('arn:'),
  /** Absent if the daily backups are EventBridge rules, which only a deployment can change. */
  NGBAK_SCHEDULE_GROUP: z.string().min(1).optional(),
  NGBAK_SCHEDULE_ROLE_ARN: z.string().startsWith('arn:').optional(),
  /** The key of the deployment, if it signs archives. */
  NGBAK_SIGNING_KEY_ARN: z.string().optional(),
  /** The secret that contains the {@link AccessList}. */
  NGBAK_API_SECRET: z.string().min(1),
  /** Origins of web pages that may call the API (CORS), separated by spaces. */
  NGBAK_ALLOWED_ORIGINS: z.string().default(''),
});

/** The environment that hono/aws-lambda passes to the app. */
interface Bindings {
  readonly event: LambdaEvent;
  readonly lambdaContext: LambdaContext;
}

const logger = new Logger();

function make() {
  const settings = parseInput(Settings, process.env, 'The environment of the API function');
  const { NGBAK_SCHEDULE_GROUP: group, NGBAK_SCHEDULE_ROLE_ARN: roleArn } = settings;
  const stateMachines = {
    backup: settings.NGBAK_BACKUP_STATE_MACHINE_ARN,
    restore: settings.NGBAK_RESTORE_STATE_MACHINE_ARN,
  };
  const { bucket, sfn, config } = readEnvironment((message, fields) =>
    logger.info(redact(message), redactFields(fields)),
  );
  const access = new CachedAccessList(
    () => loadSecret(settings.NGBAK_API_SECRET, AccessList, 'the HTTP API'),
    (error) => logger.error(redact(describeError(error))),
  );
  return makeApi({
    context: {
      bucket,
      sfn,
      config,
      stateMachines,
      ...(config.signatures === undefined
        ? {}
        : { signatureKeys: signatureKeys(config, settings.NGBAK_SIGNING_KEY_ARN) }),
      ...(group === undefined || roleArn === undefined
        ? {}
        : { scheduler: new Scheduler({ group, roleArn }, stateMachines) }),
    },
    authenticator: new Authenticator(() => access.read()),
    pages: {
      folder: join(import.meta.dirname, DASHBOARD_FOLDER),
      connectTo: async () => [await bucket.origin()],
    },
    allowedOrigins: settings.NGBAK_ALLOWED_ORIGINS.split(' ').filter((origin) => origin !== ''),
    audit: (line) => logger.info('audit', { audit: redactFields({ ...line }) }),
    log: (message, fields) => logger.error(redact(message), redactFields(fields)),
    origin(env) {
      const { event } = env as Bindings;
      const context = event.requestContext as { requestId?: string; http?: { sourceIp?: string } };
      return { from: context.http?.sourceIp ?? 'unknown', requestId: context.requestId ?? 'unknown' };
    },
    timeLeft: (env) => (env as Bindings).lambdaContext.getRemainingTimeInMillis(),
  });
}

let serve: ReturnType<typeof handle> | undefined;

/** The HTTP API behind API Gateway. */
export const handler = async (event: LambdaEvent, context: LambdaContext) => {
  serve ??= handle(make());
  return await serve(withEncodedPath(withoutIdleBody(event)), context);
};

/** Removes the body of a GET or HEAD, which has no meaning (RFC 9110, 9.3.1), because Request rejects it. */
function withoutIdleBody(event: LambdaEvent): LambdaEvent {
  const { http } = event.requestContext as { http?: { method?: string } };
  return http?.method === 'GET' || http?.method === 'HEAD' ? { ...event, body: null } : event;
}

/**
 * API Gateway decodes the path of a request (all but `%25`), and hono builds a URL from it, in which these two
 * characters would end the path.
 */
function withEncodedPath(event: LambdaEvent): LambdaEvent {
  if (!('rawPath' in event)) return event;
  return { ...event, rawPath: event.rawPath.replaceAll('#', '%23').replaceAll('?', '%3F') };
}
