import { Command } from 'commander';
import { VERSION } from '../shared/core/version.ts';
import { archiveCommand } from './commands/archive.ts';
import { backupCommand } from './commands/backup.ts';
import { changeCommands } from './commands/change.ts';
import { completionCommand } from './commands/completion.ts';
import { deployCommand } from './commands/deploy.ts';
import { diffCommand } from './commands/diff.ts';
import { doctorCommand } from './commands/doctor.ts';
import { downloadCommands } from './commands/download.ts';
import { drillCommands } from './commands/drills.ts';
import { findCommand } from './commands/find.ts';
import { jobCommands } from './commands/jobs.ts';
import { keyCommand } from './commands/key.ts';
import { listCommand } from './commands/list.ts';
import { localCommand } from './commands/local.ts';
import { notifyCommand } from './commands/notify.ts';
import { recoverCommand } from './commands/recover.ts';
import { restoreCommands } from './commands/restore.ts';
import { retentionCommands } from './commands/retention.ts';
import { scheduleCommand } from './commands/schedule.ts';
import { selftestCommand } from './commands/selftest.ts';
import { showCommands } from './commands/show.ts';
import { signingKeyCommand } from './commands/signing-key.ts';
import { statusCommand } from './commands/status.ts';
import { thawCommand } from './commands/thaw.ts';
import { verifyCommand } from './commands/verify.ts';
import { EXIT_CODES } from './exit-codes.ts';

/** Defines the whole command line, without running anything: help and completion are generated from it. */
export function makeProgram(): Command {
  const program = new Command('ngbak')
    .description(
      'Backup and restore of GraphRAG systems on AWS: graph, vectors, key-value data and configuration.',
    )
    .version(VERSION)
    .option('--direct', 'use AWS credentials (S3 and Step Functions), not the HTTP API')
    .option('--stack <name>', 'CloudFormation stack of ngbak, whose outputs name its resources')
    .option('--bucket <name>', 'the archive bucket, or bucket/prefix')
    .option('--api-url <url>', 'address of the HTTP API; the key is read from NGBAK_API_KEY')
    .option('--json', 'one JSON object on each line of stdout')
    .option('-q, --quiet', 'print results and errors only')
    .option('-v, --verbose', 'list every collection, namespace and step instead of summaries')
    .option('-y, --yes', 'answer yes to every question, including whether a target may be overwritten')
    .option('--debug', 'print stack traces of errors')
    .showHelpAfterError('(ngbak --help lists the commands)')
    .configureHelp({ showGlobalOptions: true })
    .addHelpText('after', helpEnd());
  backupCommand(program);
  listCommand(program);
  showCommands(program);
  downloadCommands(program);
  thawCommand(program);
  verifyCommand(program);
  diffCommand(program);
  findCommand(program);
  signingKeyCommand(program);
  restoreCommands(program);
  recoverCommand(program);
  changeCommands(program);
  retentionCommands(program);
  drillCommands(program);
  jobCommands(program);
  scheduleCommand(program);
  archiveCommand(program);
  statusCommand(program);
  notifyCommand(program);
  doctorCommand(program);
  deployCommand(program);
  selftestCommand(program);
  localCommand(program);
  keyCommand(program);
  completionCommand(program);
  return program;
}

function helpEnd(): string {
  const codes = Object.values(EXIT_CODES).map(([code, text]) => `  ${String(code).padEnd(4)} ${text}`);
  return `
Exit codes:
${codes.join('\n')}

Examples:
  ngbak backup --wait                     back up and wait for completion
  ngbak status                            show whether each target is recoverable
  ngbak list --since 2026-01-01           list the backups of this year
  ngbak restore snapshot_2026-01-02T03-00-00Z
  ngbak restore backup_20260102_030000.ngbak --target staging
  ngbak list --json | jq -r 'select(.type == "backup") | .data.backup_id'
`;
}
