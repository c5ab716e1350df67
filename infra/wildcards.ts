import { Stack, Validations } from 'aws-cdk-lib';
import { flattenCfnReference } from 'cdk-nag/lib/utils/flatten-cfn-reference.js';
import type { Construct } from 'constructs';

/**
 * Records why the policies below `scope` may contain a resource with a wildcard. cdk-nag rejects all others, so a
 * wildcard without a reason fails the synthesis.
 */
export function acceptWildcard(scope: Construct, resource: string, reason: string): void {
  const written = flattenCfnReference(Stack.of(scope).resolve(resource));
  Validations.of(scope).acknowledge({ id: `AwsSolutions-IAM5[Resource::${written}]`, reason });
}
