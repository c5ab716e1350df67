import { runCommandLine } from './command-line.ts';
import { EXIT_CODES } from './exit-codes.ts';

// For example `ngbak list | head`: the program ends when the reader of the pipe does.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(EXIT_CODES.unread[0]);
  throw error;
});
process.exitCode = await runCommandLine(process.argv.slice(2));
