import { Stack, Validations } from 'aws-cdk-lib';
import { flattenCfnReference } from 'cdk-nag/lib/utils/flatten-cfn-reference.js';
import type { Construct } from 'constructs';

/**
 * Says why the policies below `scope` may name a resource with a wildcard. cdk-nag refuses every other one, so a
 * wildcard that nobody gave a reason for ends the synthesis.
 */
export function acceptWildcard(scope: Construct, resource: string, reason: string): void {
  const written = flattenCfnReference(Stack.of(scope).resolve(resource));
  Validations.of(scope).acknowledge({ id: `AwsSolutions-IAM5[Resource::${written}]`, reason });
}
