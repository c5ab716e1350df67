import { join } from 'node:path';
import { App, type StackProps, Tags, Validations } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';
import { buildDashboard } from '../dashboard/build.ts';
import { DASHBOARD_FOLDER } from '../shared/api/pages.ts';
import { helpOf, NgbakError } from '../shared/core/errors.ts';
import { seeAlso } from '../shared/core/help.ts';
import { bundleFunctions } from './bundle.ts';
import { readDeployment } from './config.ts';
import { NgbakStack } from './stack.ts';
import { readVault } from './vault/config.ts';
import { VaultStack } from './vault/stack.ts';

/** Adds the stack of a deployment. Returns its tags. */
async function addDeployment(app: App, env: StackProps): Promise<Readonly<Record<string, string>>> {
  const deployment = readDeployment(app.node.tryGetContext('ngbak'));
  const bundles = bundleFunctions(join(app.outdir, 'functions'), deployment.nodeVersion);
  // The API serves the dashboard: one origin, one deployment.
  if (deployment.api.enabled) await buildDashboard(join(bundles.api, DASHBOARD_FOLDER));
  new NgbakStack(app, deployment.stackName, { deployment, bundles, ...env });
  return deployment.tags;
}

/** Adds the stack of a vault. Returns its tags. */
function addVault(app: App, context: unknown, env: StackProps): Readonly<Record<string, string>> {
  const vault = readVault(context);
  new VaultStack(app, vault.stackName, { vault, ...env });
  return vault.tags;
}

try {
  const app = new App();
  const { CDK_DEFAULT_ACCOUNT: account, CDK_DEFAULT_REGION: region } = process.env;
  const env = account === undefined || region === undefined ? {} : { env: { account, region } };
  const context = app.node.tryGetContext('vault');
  // A vault belongs into another account, so an app consists of one or the other.
  const tags = context === undefined ? await addDeployment(app, env) : addVault(app, context, env);
  Tags.of(app).add('Application', 'ngbak');
  for (const [key, value] of Object.entries(tags)) Tags.of(app).add(key, value);
  // Suppressed findings and their reasons are written into the deployed template as well.
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app, { writeSuppressionsToCloudFormation: true }));
} catch (error) {
  if (!(error instanceof NgbakError)) throw error;
  const help = helpOf(error);
  console.error(`${error.message}\n${error.remedy}${help === undefined ? '' : `\n${seeAlso(help)}`}`);
  process.exitCode = 1;
}
