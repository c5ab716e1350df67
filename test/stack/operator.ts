import { z } from 'zod';

/** The IAM user of the emulator that represents a person with AWS credentials. */
export const OPERATOR_USER = 'user/test-operator';

/**
 * Creates an IAM user with the policy that the stack publishes for operators, and an access key. The emulator refuses
 * calls that the policy does not allow. Returns the environment for the CLI.
 */
export function createOperator(endpoint: string, policyArn: string): Promise<Record<string, string>> {
  return createUser(endpoint, 'test-operator', ['AttachUserPolicy', { PolicyArn: policyArn }]);
}

/** Creates an IAM user with an access key; `grant` is the call that attaches its policy. */
export async function createUser(
  endpoint: string,
  UserName: string,
  grant: [action: string, parameters: Record<string, string>],
): Promise<Record<string, string>> {
  const call = async (Action: string, parameters: Record<string, string> = {}) => {
    const answer = await fetch(endpoint, {
      method: 'POST',
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        // The root user of the emulator, whose signature is not verified.
        authorization:
          'AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=0',
      },
      body: new URLSearchParams({ Action, Version: '2010-05-08', UserName, ...parameters }),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${Action}: ${answer.status} ${text}`);
    return text;
  };
  await call('CreateUser');
  await call(...grant);
  const key = await call('CreateAccessKey');
  const value = (name: string) => z.string().parse(new RegExp(`<${name}>([^<]+)</${name}>`).exec(key)?.[1]);
  return { AWS_ACCESS_KEY_ID: value('AccessKeyId'), AWS_SECRET_ACCESS_KEY: value('SecretAccessKey') };
}
