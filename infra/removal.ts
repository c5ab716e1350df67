import { RemovalPolicy } from 'aws-cdk-lib';
import type { DeploymentConfig } from './config.ts';

/**
 * The removal policy of bucket, key, secrets and audit logs. If a first deployment fails, the ones that it created
 * are deleted with it: otherwise their names would make every later deployment fail.
 */
export function removalPolicyOf({ removal }: Pick<DeploymentConfig, 'removal'>): RemovalPolicy {
  return removal === 'retain' ? RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE : RemovalPolicy.DESTROY;
}
