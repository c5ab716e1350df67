import { createHmac } from 'node:crypto';
import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import { z } from 'zod';
import { awsClient } from '../../aws/clients.ts';
import { loadSecret } from '../../aws/secrets.ts';
import type { Hook, HooksConfig } from '../../core/config.ts';
import { findTarget } from '../../core/config.ts';
import { NgbakError } from '../../core/errors.ts';
import { HELP } from '../../core/help.ts';
import { retry } from '../../core/retry.ts';
import type { Environment } from '../environment.ts';
import { updateJob } from './record.ts';

/** Attempts to call a hook, with exponential backoff. */
const TRIES = { attempts: 3, firstMs: 500, factor: 4 };
/** Characters of a hook's response that an error quotes. */
const RESPONSE_CHARACTERS_MAX = 200;

/** The writers of a target could not be paused or resumed. */
export class HookError extends NgbakError {}

/** What a hook receives: the payload of the Lambda function, or the body of the webhook. */
export interface HookCall {
  readonly action: 'pause' | 'resume';
  readonly target: string;
  readonly job_id: string;
  /** When the call was made, ISO 8601. */
  readonly at: string;
}

const SigningKey = z.object({ signing_key: z.string().min(16) });

/**
 * Calls the hook that pauses the writers of the target, if one is configured. The job records this before the call, so
 * that the janitor resumes the writers in any case. Returns whether writers are paused. Throws HookError.
 */
export async function pauseWriters(
  environment: Environment,
  target: string,
  jobId: string,
): Promise<boolean> {
  const { hooks } = findTarget(environment.config, target);
  if (!hooks) return false;
  await updateJob(environment.bucket, jobId, () => ({ writers: 'paused' }));
  await callHook(hooks, { action: 'pause', target, job_id: jobId, at: new Date().toISOString() });
  return true;
}

/** Resumes the writers, if this job paused them. Idempotent. Throws HookError. */
export async function resumeWriters(environment: Environment, target: string, jobId: string): Promise<void> {
  const { hooks } = findTarget(environment.config, target);
  const job = await updateJob(environment.bucket, jobId, () => undefined);
  if (!hooks || job?.writers !== 'paused') return;
  await callHook(hooks, { action: 'resume', target, job_id: jobId, at: new Date().toISOString() });
  await updateJob(environment.bucket, jobId, () => ({ writers: 'resumed' }));
}

async function callHook(hooks: HooksConfig, call: HookCall): Promise<void> {
  const hook = hooks[call.action];
  const attempt = () =>
    'lambda' in hook
      ? invokeFunction(hook.lambda, call, hooks.timeout_seconds)
      : postWebhook(hook, call, hooks.timeout_seconds);
  try {
    await retry(attempt, { ...TRIES, isTransient: () => true });
  } catch (cause) {
    const where = 'lambda' in hook ? hook.lambda : new URL(hook.url).origin;
    throw new HookError(
      `The writers of target "${call.target}" could not be ${call.action}d: ${where} failed ${TRIES.attempts} times.`,
      {
        remedy:
          call.action === 'pause'
            ? 'Nothing was read or written yet. Correct the hook, or remove it from cdk.json, and start again.'
            : 'Resume the writers manually, then correct the hook.',
        help: HELP.hook,
        cause,
      },
    );
  }
}

async function invokeFunction(name: string, call: HookCall, timeoutSeconds: number): Promise<void> {
  const answer = await awsClient('lambda', LambdaClient, { maxAttempts: 1 }).send(
    new InvokeCommand({ FunctionName: name, Payload: JSON.stringify(call) }),
    { abortSignal: AbortSignal.timeout(timeoutSeconds * 1000) },
  );
  if (answer.FunctionError === undefined) return;
  const text = new TextDecoder().decode(answer.Payload).slice(0, RESPONSE_CHARACTERS_MAX);
  throw new Error(`${answer.FunctionError}: ${text}`);
}

/**
 * Posts the call. The receiver checks `x-ngbak-signature`: `sha256=` and the HMAC-SHA-256, in hexadecimal digits, of
 * `x-ngbak-timestamp` (seconds since 1970), a full stop and the body, with the shared signing key.
 */
async function postWebhook(
  hook: Extract<Hook, { url: string }>,
  call: HookCall,
  timeoutSeconds: number,
): Promise<void> {
  const { signing_key } = await loadSecret(hook.secret, SigningKey, `webhook of ${call.target}`);
  const body = JSON.stringify(call);
  const timestamp = String(Math.floor(Date.now() / 1000));
  const answer = await fetch(hook.url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'x-ngbak-timestamp': timestamp,
      'x-ngbak-signature': sign(signing_key, timestamp, body),
    },
    body,
    redirect: 'error',
    signal: AbortSignal.timeout(timeoutSeconds * 1000),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`HTTP ${answer.status}: ${text.slice(0, RESPONSE_CHARACTERS_MAX)}`);
}

/** The value of `x-ngbak-signature`. */
export function sign(key: string, timestamp: string, body: string): string {
  return `sha256=${createHmac('sha256', key).update(`${timestamp}.${body}`).digest('hex')}`;
}
