import { join } from 'node:path';
import { App } from 'aws-cdk-lib';
import { buildDashboard } from '../dashboard/build.ts';
import { DASHBOARD_FOLDER } from '../shared/api/pages.ts';
import { helpOf, NgbakError } from '../shared/core/errors.ts';
import { seeAlso } from '../shared/core/help.ts';
import { bundleFunctions } from './bundle.ts';
import { addStacks } from './stacks.ts';

try {
  const app = new App();
  await addStacks(app, async ({ nodeVersion, api }) => {
    const bundles = bundleFunctions(join(app.outdir, 'functions'), nodeVersion);
    // The API serves the dashboard: one origin, one deployment.
    if (api.enabled) await buildDashboard(join(bundles.api, DASHBOARD_FOLDER));
    return bundles;
  });
} catch (error) {
  if (!(error instanceof NgbakError)) throw error;
  const help = helpOf(error);
  console.error(`${error.message}\n${error.remedy}${help === undefined ? '' : `\n${seeAlso(help)}`}`);
  process.exitCode = 1;
}
