import type { Command } from 'commander';
import type { CliClient } from './client.ts';
import { Output } from './output.ts';
import { readSettings, type Settings } from './settings.ts';

/** The context of every command. Client and settings are created on first use. */
export interface Cli {
  readonly output: Output;
  /** True: questions are answered with yes. */
  readonly yes: boolean;
  settings(): Promise<Settings>;
  client(): Promise<CliClient>;
}

interface GlobalOptions {
  readonly direct?: boolean;
  readonly stack?: string;
  readonly bucket?: string;
  readonly apiUrl?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
  readonly yes?: boolean;
}

/** The context of a command, from the global options. */
export function cliOf(command: Command): Cli {
  const options = command.optsWithGlobals<GlobalOptions>();
  let settings: Promise<Settings> | undefined;
  let client: Promise<CliClient> | undefined;
  const readAll = () => {
    settings ??= readSettings({
      direct: options.direct,
      stack: options.stack,
      bucket: options.bucket,
      api_url: options.apiUrl,
    });
    return settings;
  };
  return {
    output: new Output({
      json: options.json ?? false,
      quiet: options.quiet ?? false,
      verbose: options.verbose ?? false,
    }),
    yes: options.yes ?? false,
    settings: readAll,
    client: () => {
      client ??= readAll().then(openClient);
      return client;
    },
  };
}

/** Imported on demand: help and completion must not wait for the AWS SDK. */
async function openClient(settings: Settings): Promise<CliClient> {
  if (settings.api_url !== undefined && !settings.direct) {
    const { apiClient } = await import('./api-client.ts');
    return apiClient(settings.api_url, settings.api_key);
  }
  const { discoverContext } = await import('./discover.ts');
  const { directClient } = await import('./direct-client.ts');
  return directClient(await discoverContext(settings));
}
