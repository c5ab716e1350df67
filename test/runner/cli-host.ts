import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { ROOT } from '../../local/folders.ts';

/** Where the tests of a run have command lines executed. */
export interface CliHost {
  /** Path of the socket, for NGBAK_TEST_CLI. */
  readonly socket: string;
  stop(): void;
}

/** Listens for command lines in this folder, and starts test/cli/host.ts, which runs them, with the first of them. */
export async function startCliHost(folder: string): Promise<CliHost> {
  const socket = join(folder, 'cli.sock');
  let host: ChildProcess | undefined;
  const server = createServer({ pauseOnConnect: true }, (connection) => {
    if (host?.connected !== true) host = fork(join(ROOT, 'test/cli/host.ts'), processOptions());
    host.send('connection', connection);
  });
  server.listen(socket);
  await once(server, 'listening');
  return {
    socket,
    stop() {
      server.close();
      host?.kill();
    },
  };
}

/** Without colours, as with a pipe, and in a time zone that each command line of a test has or does not depend on. */
function processOptions() {
  const { FORCE_COLOR: _, ...environment } = process.env;
  return {
    env: { ...environment, TZ: 'UTC' },
    execArgv: ['--disable-warning=ExperimentalWarning'],
    // Only a crash of the process prints something, which then belongs into the output of the run.
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'] as ['ignore', 'inherit', 'inherit', 'ipc'],
  };
}
