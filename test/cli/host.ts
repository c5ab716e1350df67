/**
 * A process that runs command lines of `ngbak` for tests, several at once, each with its own environment, streams and exit
 * code: a new process for each would spend most of its time on loading the same modules. test/runner/cli-host.ts starts
 * it, and `run` of test/cli/run.ts uses it.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { createServer } from 'node:http';
import type { Socket } from 'node:net';
import { Readable, Writable } from 'node:stream';
import { json } from 'node:stream/consumers';
import { runCommandLine } from '../../cli/command-line.ts';

/** What a process gets from the one that starts it. */
export interface CommandLine {
  readonly args: readonly string[];
  readonly environment: NodeJS.ProcessEnv;
}
/** How it ended. */
export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Collects what is written. */
class Collected extends Writable {
  readonly #chunks: Buffer[] = [];

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#chunks.push(chunk);
    done();
  }

  text(): string {
    return Buffer.concat(this.#chunks).toString();
  }
}

interface Streams {
  readonly env: NodeJS.ProcessEnv;
  readonly stdin: Readable;
  readonly stdout: Collected;
  readonly stderr: Collected;
}
const current = new AsyncLocalStorage<Streams>();

// The properties of `process` are those of the command line in whose asynchronous context they are read.
for (const name of ['env', 'stdin', 'stdout', 'stderr'] as const) {
  const own = process[name];
  Object.defineProperty(process, name, { get: () => current.getStore()?.[name] ?? own });
}

async function run({ args, environment }: CommandLine): Promise<Ended> {
  const streams = {
    // Variables are text, and absent ones are not "undefined".
    env: { ...environment },
    stdin: Readable.from([]),
    stdout: new Collected(),
    stderr: new Collected(),
  };
  const code = await current.run(streams, () => runCommandLine(args));
  return { code, stdout: streams.stdout.text(), stderr: streams.stderr.text() };
}

const server = createServer(async (request, response) => {
  response.end(JSON.stringify(await run((await json(request)) as CommandLine)));
});
process.on('message', (_, connection) => {
  server.emit('connection', connection as Socket);
  (connection as Socket).resume();
});
// Ends with the test run, however that ends.
process.on('disconnect', () => process.exit());
