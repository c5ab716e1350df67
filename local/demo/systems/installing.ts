import { join } from 'node:path';
import type { InstallContext } from '../../install/install.ts';
import type { StepView } from '../screen.ts';

/** The context of installers that a step of the demo runs. */
export function installing(view: StepView, logs: string, signal: AbortSignal): InstallContext {
  return {
    environment: process.env,
    signal,
    log: join(logs, 'load.log'),
    onInstall: (what) => {
      view.live([`installing ${what}`]);
      view.log(`installing ${what}`);
    },
  };
}
