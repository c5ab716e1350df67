/** Tokens of RDS. Imported on demand: only connections that need one load it. */
import { STSClient } from '@aws-sdk/client-sts';
import { SignatureV4 } from '@smithy/signature-v4';
import { explainAwsError } from './aws-error.ts';
import { awsClient } from './clients.ts';

/** How long RDS accepts a token for new connections, in seconds (RDS user guide, "IAM database authentication"). */
const TOKEN_SECONDS = 900;

/** The database user that a token is for, at exactly this address. */
export interface DatabaseUser {
  /** Endpoint of the instance, cluster or proxy: RDS rejects a token for another name of it. */
  readonly host: string;
  readonly port: number;
  readonly username: string;
  readonly region: string;
}

/**
 * The password of a database user with IAM authentication, for a connection that is opened now: a presigned call of
 * `rds-db:connect`, without its scheme. It is calculated from the credentials of the process, without a call of AWS.
 * Throws AccessDeniedError if there are none.
 */
export async function rdsToken({ host, port, username, region }: DatabaseUser): Promise<string> {
  const sts = awsClient('sts', STSClient, { region });
  try {
    const { credentials, sha256 } = sts.config;
    const signer = new SignatureV4({ service: 'rds-db', region, credentials, sha256 });
    const request = {
      method: 'GET',
      protocol: 'https:',
      hostname: host,
      port,
      path: '/',
      query: { Action: 'connect', DBUser: username },
      headers: { host: `${host}:${port}` },
    };
    const { query } = await signer.presign(request, { expiresIn: TOKEN_SECONDS });
    const parameters = Object.entries(query ?? {}).map(
      ([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(String(value))}`,
    );
    return `${host}:${port}/?${parameters.join('&')}`;
  } catch (error) {
    throw explainAwsError(error);
  } finally {
    sts.destroy();
  }
}
