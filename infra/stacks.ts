import { type App, type StackProps, Tags, Validations } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';
import type { Bundles } from './bundle.ts';
import { type DeploymentConfig, readDeployment } from './config.ts';
import { NgbakStack } from './stack.ts';
import { readVault } from './vault/config.ts';
import { VaultStack } from './vault/stack.ts';

/** Makes the bundles of the functions of a deployment. */
type MakeBundles = (deployment: DeploymentConfig) => Promise<Bundles>;

/** Adds the stack of a deployment. Returns its tags. */
async function addDeployment(
  app: App,
  env: StackProps,
  makeBundles: MakeBundles,
): Promise<Readonly<Record<string, string>>> {
  const deployment = readDeployment(app.node.tryGetContext('ngbak'));
  const bundles = await makeBundles(deployment);
  new NgbakStack(app, deployment.stackName, { deployment, bundles, ...env });
  return deployment.tags;
}

/** Adds the stack of a vault. Returns its tags. */
function addVault(app: App, context: unknown, env: StackProps): Readonly<Record<string, string>> {
  const vault = readVault(context);
  new VaultStack(app, vault.stackName, { vault, ...env });
  return vault.tags;
}

/**
 * Adds what the context of the app configures, with its tags and the checks of cdk-nag: a vault if it has the key `vault`,
 * otherwise a deployment by the key `ngbak`. Throws InvalidInputError.
 */
export async function addStacks(app: App, makeBundles: MakeBundles): Promise<void> {
  const { CDK_DEFAULT_ACCOUNT: account, CDK_DEFAULT_REGION: region } = process.env;
  const env = account === undefined || region === undefined ? {} : { env: { account, region } };
  const context = app.node.tryGetContext('vault');
  // A vault belongs into another account, so an app consists of one or the other.
  const tags =
    context === undefined ? await addDeployment(app, env, makeBundles) : addVault(app, context, env);
  Tags.of(app).add('Application', 'ngbak');
  for (const [key, value] of Object.entries(tags)) Tags.of(app).add(key, value);
  // Suppressed findings and their reasons are written into the deployed template as well.
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app, { writeSuppressionsToCloudFormation: true }));
}
