/** The part of the client of STS that ngbak uses. Imported on demand, so that only functions that need a role load it. */
import { AssumeRoleCommand, STSClient } from '@aws-sdk/client-sts';
import { AccessDeniedError } from '../core/errors.ts';
import { explainAwsError } from './aws-error.ts';
import { awsClient } from './clients.ts';

/** Temporary credentials, in the form that clients of the SDK accept. */
export interface RoleCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string;
  /** Clients ask for new ones shortly before this time. */
  readonly expiration: Date;
}

/** Assumes a role for an hour. Throws AccessDeniedError or UnavailableError. */
export async function assumeRole(RoleArn: string): Promise<RoleCredentials> {
  const sts = awsClient('sts', STSClient);
  try {
    const { Credentials } = await sts.send(new AssumeRoleCommand({ RoleArn, RoleSessionName: 'ngbak' }));
    const { AccessKeyId, SecretAccessKey, SessionToken, Expiration } = Credentials ?? {};
    if (!AccessKeyId || !SecretAccessKey || !SessionToken || !Expiration) {
      throw new TypeError('STS answered without credentials');
    }
    return {
      accessKeyId: AccessKeyId,
      secretAccessKey: SecretAccessKey,
      sessionToken: SessionToken,
      expiration: Expiration,
    };
  } catch (error) {
    const explained = explainAwsError(error);
    if (!(explained instanceof AccessDeniedError)) throw explained;
    throw new AccessDeniedError(`The role ${RoleArn} cannot be assumed: ${explained.message}`, {
      remedy: 'Check that it exists, and that its trust policy names the role of the caller.',
      cause: error,
    });
  } finally {
    sts.destroy();
  }
}
