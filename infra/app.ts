import { join } from 'node:path';
import { App, Tags, Validations } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';
import { buildDashboard } from '../dashboard/build.ts';
import { DASHBOARD_FOLDER } from '../shared/api/pages.ts';
import { helpOf, NgbakError } from '../shared/core/errors.ts';
import { seeAlso } from '../shared/core/help.ts';
import { bundleFunctions } from './bundle.ts';
import { readDeployment } from './config.ts';
import { NgbakStack } from './stack.ts';

try {
  const app = new App();
  const deployment = readDeployment(app.node.tryGetContext('ngbak'));
  const bundles = bundleFunctions(join(app.outdir, 'functions'), deployment.nodeVersion);
  // The API serves the dashboard: one origin, one deployment.
  if (deployment.api.enabled) await buildDashboard(join(bundles.api, DASHBOARD_FOLDER));
  const { CDK_DEFAULT_ACCOUNT: account, CDK_DEFAULT_REGION: region } = process.env;
  new NgbakStack(app, deployment.stackName, {
    deployment,
    bundles,
    ...(account === undefined || region === undefined ? {} : { env: { account, region } }),
  });
  Tags.of(app).add('Application', 'ngbak');
  for (const [key, value] of Object.entries(deployment.tags)) Tags.of(app).add(key, value);
  // Suppressed findings and their reasons are written into the deployed template as well.
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app, { writeSuppressionsToCloudFormation: true }));
} catch (error) {
  if (!(error instanceof NgbakError)) throw error;
  const help = helpOf(error);
  console.error(`${error.message}\n${error.remedy}${help === undefined ? '' : `\n${seeAlso(help)}`}`);
  process.exitCode = 1;
}
