import type { Command } from 'commander';
import { cliOf } from '../cli.ts';
import { fields } from '../output.ts';

/** `ngbak signing-key` */
export function signingKeyCommand(program: Command): void {
  program
    .command('signing-key')
    .summary('print the public key that verifies archives')
    .description(
      'Prints the public key of the deployment in PEM, for `ngbak archive verify --key`, `openssl dgst -verify` and "trustedKeys" of other deployments. Keep a copy of it outside of AWS: it verifies signatures even if the key in KMS is lost.',
    )
    .action(async (_options, command: Command) => {
      const cli = cliOf(command);
      const key = await (await cli.client()).signingKey();
      cli.output.result('signing_key', key, () => key.public_key.trimEnd());
      cli.output.note(
        fields([
          ['key', key.key_id],
          ['fingerprint', key.fingerprint],
          ...key.trusted.map((fingerprint): [string, string] => ['also trusted', fingerprint]),
        ]),
      );
    });
}
