import { Argument, type Command } from 'commander';
import { newApiKey } from '../../shared/api/access.ts';
import { InvalidInputError } from '../../shared/core/errors.ts';
import { Id } from '../../shared/core/ids.ts';
import { parseInput } from '../../shared/core/input.ts';
import { ROLES, type Role } from '../../shared/core/roles.ts';
import { type Cli, cliOf } from '../cli.ts';
import { ExitError } from '../exit-codes.ts';
import { localTime } from '../format.ts';
import { table } from '../output.ts';
import { confirm } from '../prompt.ts';
import { whole } from './options.ts';

const HOUR_MS = 60 * 60 * 1000;
const SECRET = [
  '--secret <id>',
  'name or ARN of the secret of the API; default: output ApiSecretArn of the stack',
] as const;

/** `ngbak key …` */
export function keyCommand(program: Command): void {
  const key = program
    .command('key')
    .summary('create, list, revoke and rotate keys for the HTTP API')
    .description(
      'Manages the keys for the HTTP API. Their hashes are kept in the secret of the API, which is read and written with AWS credentials (secretsmanager:GetSecretValue, PutSecretValue, UpdateSecretVersionStage). Changes take effect within a minute.',
    );
  key
    .command('create', { isDefault: true })
    .summary('create a key')
    .description(
      'Creates a key and prints it once. With --save, its hash is added to the secret of the API; otherwise the entry for the secret is printed as well.',
    )
    .argument('<name>', 'name of its owner')
    .addArgument(new Argument('<role>', 'role of the key').choices(ROLES))
    .option('--save', 'add it to the secret of the API')
    .option('--days <number>', 'number of days after which it expires', whole)
    .option(...SECRET)
    .action(async (name: string, role: Role, options, command: Command) => {
      const cli = cliOf(command);
      const owner = parseInput(Id, name, 'The name');
      const expires_at =
        options.days === undefined
          ? undefined
          : new Date(Date.now() + options.days * 24 * HOUR_MS).toISOString();
      if (options.save) {
        const created = await (await savedList(cli, options.secret)).add(owner, role, expires_at);
        cli.output.result('key', { key: created, name: owner, role, expires_at }, () => created);
        return;
      }
      const created = newApiKey(owner, role);
      const entry = { ...created.entry, ...(expires_at === undefined ? {} : { expires_at }) };
      cli.output.result('key', { key: created.key, entry }, () => `${created.key}\n${JSON.stringify(entry)}`);
    });
  key
    .command('list')
    .summary('list keys')
    .description(
      'Lists names, roles and expiry times. The fingerprint is the beginning of the hash of a key.',
    )
    .option(...SECRET)
    .action(async (options, command: Command) => {
      const cli = cliOf(command);
      const { fingerprint } = await import('../../shared/api/saved-access-list.ts');
      const keys = (await (await savedList(cli, options.secret)).keys()).map((entry) => ({
        name: entry.name,
        role: entry.role,
        fingerprint: fingerprint(entry),
        ...(entry.expires_at === undefined ? {} : { expires_at: entry.expires_at }),
      }));
      const expiry = (at: string | undefined) =>
        at === undefined ? 'never' : `${localTime(at)}${Date.parse(at) <= Date.now() ? ' (expired)' : ''}`;
      cli.output.result('keys', { keys }, () =>
        keys.length === 0
          ? 'No API keys. Create one with `ngbak key create NAME ROLE --save`.'
          : table(
              ['name', 'role', 'fingerprint', 'expires'],
              keys.map((one) => [one.name, one.role, one.fingerprint, expiry(one.expires_at)]),
            ),
      );
    });
  key
    .command('revoke')
    .summary('revoke keys')
    .description('Removes every key of a name, or the one with a fingerprint.')
    .argument('<key>', 'name or fingerprint')
    .option(...SECRET)
    .action(async (which: string, options, command: Command) => {
      const cli = cliOf(command);
      const list = await savedList(cli, options.secret);
      if (!(await confirm(cli, `Revoke "${which}"?`))) throw new ExitError('refused');
      const revoked = await list.revoke(which);
      cli.output.result('revoked', { key: which, revoked }, () => `Keys revoked: ${revoked}`);
    });
  key
    .command('rotate')
    .summary('replace a key')
    .description(
      'Creates another key of the same name and role and prints it once. The old one remains valid for some hours, so that callers can be changed without an interruption.',
    )
    .argument('<name>', 'name of its owner')
    .option('--grace-hours <number>', 'how long the old key remains valid', whole, 24)
    .option(...SECRET)
    .action(async (name: string, options, command: Command) => {
      const cli = cliOf(command);
      const until = new Date(Date.now() + options.graceHours * HOUR_MS);
      const { key: created, role } = await (await savedList(cli, options.secret)).rotate(name, until);
      cli.output.result(
        'key',
        { key: created, name, role, old_valid_until: until.toISOString() },
        () => created,
      );
      cli.output.note(`The old key is valid until ${localTime(until.toISOString())}.`);
    });
}

/** Imported on demand: help must not wait for the AWS SDK. */
async function savedList(cli: Cli, secret: string | undefined) {
  const { SavedAccessList } = await import('../../shared/api/saved-access-list.ts');
  if (secret !== undefined) return new SavedAccessList(secret);
  const { readOutputs } = await import('../discover.ts');
  const { stack } = await cli.settings();
  const { ApiSecretArn } = await readOutputs(stack);
  if (ApiSecretArn !== undefined) return new SavedAccessList(ApiSecretArn);
  throw new InvalidInputError(`Stack ${stack} has no output ApiSecretArn.`, {
    remedy: 'Give the secret with --secret, or the name of the stack of ngbak with --stack.',
  });
}
