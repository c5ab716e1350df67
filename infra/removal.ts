import { RemovalPolicy } from 'aws-cdk-lib';
import type { DeploymentConfig } from './config.ts';

/**
 * What becomes of bucket, key, secrets and audit logs when the stack is deleted. Those that a failed first deployment
 * has just created are deleted with it: left behind, their names would make every later deployment fail.
 */
export function removalPolicyOf({ removal }: Pick<DeploymentConfig, 'removal'>): RemovalPolicy {
  return removal === 'retain' ? RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE : RemovalPolicy.DESTROY;
}
