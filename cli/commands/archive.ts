import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { type Command, InvalidArgumentError } from 'commander';
import { Codec } from '../../shared/archive/format/codec.ts';
import { quoteName } from '../../shared/archive/format/names.ts';
import { parsePublicKey } from '../../shared/archive/format/signature.ts';
import { isSeekable, openArchive, readManifestBytes } from '../../shared/archive/read/open.ts';
import { verifyArchive } from '../../shared/archive/read/verify.ts';
import { normalizeArchive } from '../../shared/archive/write/normalize.ts';
import { countsByStore } from '../../shared/catalog/record-counts.ts';
import { checkSignatures, type GivenSignature, type SignatureKeys } from '../../shared/catalog/signature.ts';
import { InvalidInputError } from '../../shared/core/errors.ts';
import { NotFoundError } from '../../shared/core/refusals.ts';
import { FORMS } from '../../shared/profiles/forms/form.ts';
import { type ArchiveCheckResult, checkWholeArchive } from '../../shared/stores/check-archive.ts';
import { convertScript } from '../../shared/stores/neo4j/script/convert.ts';
import type { ArchiveSource } from '../age/encrypted-source.ts';
import { extractEntry } from '../archive/extract.ts';
import { requireNewFile, writeNewArchive } from '../archive/new-archive.ts';
import type { AnyArchive } from '../archive/open-any.ts';
import { type OpenFlags, withArchive, withSource } from '../archive/with-archive.ts';
import { showTransfer } from '../bars.ts';
import { type Cli, cliOf } from '../cli.ts';
import { type ConvertFlags, convertArchive, convertOptions } from '../convert-archive.ts';
import { ExitError } from '../exit-codes.ts';
import { bytes, count, localTime, printable } from '../format.ts';
import { interruptible } from '../interrupted.ts';
import { recordVerified } from '../local-archives.ts';
import { fields, table } from '../output.ts';
import { readSignatureFile, signaturePath } from '../signature-file.ts';
import { verificationText } from '../verification.ts';
import { IDENTITY, repeated } from './options.ts';

const ARCHIVE = '<archive>';
const ARCHIVE_HELP = 'file, s3:// address, or backup ID';

interface RepackFlags extends OpenFlags {
  readonly codec: Codec;
  readonly level?: number;
  readonly cypherScript: boolean;
  readonly force: boolean;
}

/** `ngbak archive …`: operates on archives alone, without stores, and on files without AWS. */
export function archiveCommand(program: Command): void {
  const archive = program
    .command('archive')
    .summary('list, verify, extract and rewrite archive files')
    .description(
      'Works on an archive itself: a file, an s3:// address, or a backup ID. Needs no store, and for files no AWS.',
    )
    .addHelpText(
      'after',
      `
An archive is a plain tar.gz: "tar -xzf x.ngbak && sha256sum -c SHA256SUMS" works without ngbak. These commands read only
the ranges they need (a 1 TB archive in S3 is listed with two small reads), verify every digest they pass, and also accept
archives that were repacked with tar. They decrypt archives that were encrypted with age, range by range ("ngbak download
--encrypt-to"); "age -d -i KEYFILE x.ngbak.age | tar -xz" works without ngbak.

Examples:
  ngbak archive list backup.ngbak --prefix kv/
  ngbak archive cat s3://bucket/backups/snapshot_2026-01-02T03-00-00Z.ngbak manifest.json
  ngbak archive verify snapshot_2026-01-02T03-00-00Z
  ngbak archive verify backup.ngbak.age --identity key.txt
  ngbak archive extract backup.ngbak -C restored graph/
  ngbak archive repack old.ngbak new.ngbak --codec zstd
  ngbak archive convert backup.ngbak --as files -o as-files.ngbak
`,
    );

  archive
    .command('list')
    .summary('list the entries')
    .description('Shows a summary of the manifest and lists the entries with size and SHA-256.')
    .argument(ARCHIVE, ARCHIVE_HELP)
    .option('--prefix <prefix>', 'only entries whose names start with this', '')
    .option(...IDENTITY, repeated)
    .action(async (reference: string, flags: OpenFlags & { prefix: string }, command: Command) => {
      const cli = cliOf(command);
      await withArchive(cli, reference, flags, (opened, source) => list(cli, opened, source, flags.prefix));
    });

  archive
    .command('cat')
    .summary('print one entry')
    .description(
      'Writes the content of one entry to stdout. Exits with an error after the last byte if its digest does not match.',
    )
    .argument(ARCHIVE, ARCHIVE_HELP)
    .argument('<entry>', 'name of the entry, such as kv/full_docs.json; also manifest.json')
    .option(...IDENTITY, repeated)
    .action(async (reference: string, name: string, flags: OpenFlags, command: Command) => {
      const cli = cliOf(command);
      await withArchive(cli, reference, flags, async ({ archive: opened }) => {
        if (name === 'manifest.json') {
          process.stdout.write(`${JSON.stringify(opened.manifest, null, 2)}\n`);
          return;
        }
        const entry = await opened.find(name);
        if (!entry) throw noEntry(name);
        await pipeline(opened.open(entry), process.stdout, { end: false }).catch((error) => {
          // The reader may close the pipe early: `ngbak archive cat … | head`.
          if (Reflect.get(error, 'code') !== 'EPIPE') throw error;
        });
      });
    });

  archive
    .command('extract')
    .summary('extract entries and verify their digests')
    .description('Extracts entries into a folder. A file gets its final name once its digest is verified.')
    .argument(ARCHIVE, ARCHIVE_HELP)
    .argument('[prefixes...]', 'only entries whose names start with one of these (default: all)')
    .option('-C, --folder <folder>', 'destination folder', '.')
    .option('-f, --force', 'replace existing files', false)
    .option(...IDENTITY, repeated)
    .action(
      async (
        reference: string,
        prefixes: string[],
        options: OpenFlags & { folder: string; force: boolean },
        command: Command,
      ) => {
        const cli = cliOf(command);
        await withArchive(cli, reference, options, (opened, source) =>
          extract(cli, opened, source, prefixes, options),
        );
      },
    );

  archive
    .command('verify')
    .summary('verify every byte and every record')
    .description(
      'Verifies every byte: footer, manifest, index, checksums, tar headers, sizes and digests of all entries. Checks the content as a restore would: every record, and the counts of the manifest. With --key, also the signature. Exits with 7 if the integrity check fails.',
    )
    .argument(ARCHIVE, ARCHIVE_HELP)
    .option(...IDENTITY, repeated)
    .option('--key <file>', 'public key in PEM (`ngbak signing-key`): also verifies the signature')
    .option('--signature <file>', 'signature of the archive (default: the archive with the ending .sig)')
    .action(async (reference: string, flags: VerifyFlags, command: Command) =>
      verify(cliOf(command), reference, flags),
    );

  archive
    .command('repack')
    .summary('rewrite as a seekable archive')
    .description(
      'Reads an archive front to back, verifies it and writes a new one: makes a repacked archive seekable, converts one of NGRAF-023, or changes the codec. The result is verified before it gets its final name.',
    )
    .argument(ARCHIVE, ARCHIVE_HELP)
    .argument('<file>', 'path of the new archive')
    .option('--codec <codec>', 'gzip or zstd', (text) => codec(text), 'gzip')
    .option('--level <level>', '1 (fast) to 9 for gzip, 1 to 19 for zstd', (text) => level(text))
    .option(
      '--cypher-script',
      'convert the graph of an NGRAF-023 archive from its Cypher script, which is parsed and never executed',
      false,
    )
    .option('-f, --force', 'replace an existing file', false)
    .option(...IDENTITY, repeated)
    .action(async (reference: string, file: string, options: RepackFlags, command: Command) =>
      repack(cliOf(command), reference, file, options),
    );

  const converting = archive
    .command('convert')
    .summary('convert the key-value data for another kind of store')
    .description(
      'Writes a new archive whose key-value data is in the form of another kind of store, for operators who change the storage of LightRAG. Everything else is copied. The archive is verified first, and what the other form cannot hold is listed with numbers and examples; unless --drop accepts it, nothing is written. The new archive is verified and compared record by record before it gets its final name.',
    )
    .argument(ARCHIVE, ARCHIVE_HELP)
    .requiredOption('-o, --output <file>', 'path of the new archive')
    .option('--dry-run', 'only list what would be written and lost', false)
    .option('-f, --force', 'replace an existing file', false)
    .option(...IDENTITY, repeated);
  convertOptions(converting, true)
    .addHelpText(
      'after',
      `
Restore the new archive like any other ("ngbak restore"), or do both with "ngbak restore ARCHIVE --as files".

Examples:
${FORMS.map((form) => `  ngbak archive convert backup.ngbak --as ${form} -o as-${form}.ngbak --dry-run`).join('\n')}
  ngbak archive convert backup.ngbak --as files -o as-files.ngbak
  ngbak archive convert backup.ngbak --as files -o as-files.ngbak --drop expiry,expired
`,
    )
    .action(async (reference: string, flags: ConvertArchiveFlags, command: Command) =>
      convert(cliOf(command), reference, flags),
    );
}

interface VerifyFlags extends OpenFlags {
  readonly key?: string;
  readonly signature?: string;
}

async function list(
  cli: Cli,
  { archive, seekable }: AnyArchive,
  source: ArchiveSource,
  prefix: string,
): Promise<void> {
  const { manifest, codec } = archive;
  const about = {
    backup_id: manifest.backup_id,
    created_at: manifest.created_at,
    bytes: source.size,
    entries: manifest.index.entries,
    uncompressed_bytes: manifest.index.bytes,
    checksum: manifest.checksum,
    codec,
    seekable,
    encrypted: source.isEncrypted,
    statistics: manifest.statistics,
    lacks: manifest.lacks ?? [],
  };
  cli.output.result('archive', about, () =>
    fields([
      ['backup', manifest.backup_id],
      ['created', localTime(manifest.created_at)],
      ['size', `${bytes(source.size)} (${bytes(manifest.index.bytes)} uncompressed)`],
      ['entries', count(manifest.index.entries)],
      ['checksum', manifest.checksum],
      ['seekable', seekable ? `yes, ${codec}` : 'no, repacked'],
      ['encrypted', source.isEncrypted ? 'yes, with age' : 'no'],
      ...about.lacks.map((lack): [string, string] => ['not in archive', lack]),
    ]),
  );
  const rows: string[][] = [];
  for await (const { name, size, sha256, offset, length } of archive.entries(prefix)) {
    cli.output.event('entry', { name, size, sha256, offset, length });
    if (!cli.output.json) rows.push([name, bytes(size), bytes(length), sha256]);
  }
  if (!cli.output.json) {
    process.stdout.write(`\n${table(['entry', 'size', 'compressed', 'sha256'], rows)}\n`);
  }
}

async function extract(
  cli: Cli,
  { archive }: AnyArchive,
  source: ArchiveSource,
  prefixes: readonly string[],
  { folder, force }: { folder: string; force: boolean },
): Promise<void> {
  const progress = showTransfer(cli.output, 'extract');
  let files = 0;
  let size = 0;
  try {
    for await (const entry of archive.entries('')) {
      if (prefixes.length > 0 && !prefixes.some((prefix) => entry.name.startsWith(prefix))) continue;
      const path = await extractEntry(archive, entry, folder, force);
      cli.output.event('file', { path, size: entry.size });
      files++;
      size += entry.size;
      progress.update(size, archive.manifest.index.bytes);
    }
  } finally {
    progress.stop();
  }
  if (files === 0 && prefixes.length > 0) throw noEntry(prefixes.join(', '));
  cli.output.result('extracted', { files, bytes: size, folder }, () =>
    printable(`Extracted ${count(files)} files (${bytes(size)}) from ${source.name} to ${folder}.`),
  );
}

async function verify(cli: Cli, reference: string, flags: VerifyFlags): Promise<void> {
  const signer = await readSigner(reference, flags);
  await withSource(cli, reference, flags, async (source) => {
    const progress = showTransfer(cli.output, 'verify');
    const entry = (name: string, problem: string | undefined) =>
      cli.output.event('entry', { name, is_valid: problem === undefined, problem });
    let problems: readonly string[] = [];
    let warnings: ArchiveCheckResult['warnings'] = [];
    let tallies: ArchiveCheckResult['tallies'] = {};
    let manifest: Buffer | undefined;
    const seekable = await isSeekable(source);
    try {
      if (seekable) {
        const check = { progress: progress.update, entry };
        ({ problems, warnings, tallies } = await checkWholeArchive(source, check));
      } else {
        // The output is discarded: only the checks during the read matter.
        const rewritten = normalizeArchive(source, {
          progress: progress.update,
          level: 1,
          original: (bytes) => {
            manifest = bytes;
          },
        });
        while (!(await rewritten.next()).done);
      }
    } finally {
      progress.stop();
    }
    if (signer && seekable && problems.length === 0) manifest = await readManifestBytes(source);
    const signature = signer && manifest && (await checkSignatures(manifest, signer.given, signer.keys));
    if (signature?.state === 'invalid')
      problems = [...problems, `the signature is invalid: ${signature.problem}`];
    const is_valid = problems.length === 0;
    if (is_valid && existsSync(source.name)) await recordVerified(cli.output, source.name);
    const records = is_valid ? countsByStore(tallies) : {};
    const found = {
      ...{ archive: source.name, is_valid, seekable },
      ...{ errors: [...problems], warnings: [...warnings], records, signature },
    };
    cli.output.result('verification', found, () =>
      verificationText(
        seekable
          ? `${source.name}: verified, no errors found.`
          : `${source.name}: every entry verified, no errors found. The archive was repacked and has no index: "ngbak archive repack" adds one.`,
        `${source.name}: integrity check failed:`,
        found,
      ),
    );
    if (!is_valid) throw new ExitError('damaged');
  });
}

/** The signature and the key that the flags of `ngbak archive verify` name. Undefined without a key. */
async function readSigner(
  reference: string,
  { key, signature }: VerifyFlags,
): Promise<{ given: GivenSignature[]; keys: SignatureKeys } | undefined> {
  if (key === undefined) {
    if (signature === undefined) return undefined;
    throw new InvalidInputError('A signature is verified with a public key.', {
      remedy: 'Add --key FILE with the output of `ngbak signing-key`.',
    });
  }
  const pem = await readFile(key, 'utf8').catch((cause) => {
    throw new InvalidInputError(`"${key}" can't be read.`, {
      remedy: 'Give the path of a public key.',
      cause,
    });
  });
  const trusted = [parsePublicKey(pem, `"${key}"`)];
  const path = signature ?? signaturePath(reference);
  const bytes = await readSignatureFile(path);
  if (bytes) return { given: [{ bytes }], keys: { trusted } };
  throw new InvalidInputError(`There is no signature "${path}".`, {
    remedy: 'Name the file with the signature by --signature.',
  });
}

async function repack(cli: Cli, reference: string, file: string, options: RepackFlags): Promise<void> {
  await withSource(cli, reference, options, async (source) => {
    const { force, cypherScript, identity: _, ...how } = options;
    const script = cypherScript ? convertScript : undefined;
    requireNewFile(file, force);
    const progress = showTransfer(cli.output, 'repack');
    try {
      const chunks = normalizeArchive(source, { ...how, script, progress: progress.update });
      const about = await writeNewArchive(file, chunks, async (written) => {
        const { problems } = await verifyArchive(written, {
          cursor: null,
          timeLeft: () => Number.POSITIVE_INFINITY,
        });
        if (problems.length > 0) throw new ExitError('damaged');
        const { manifest } = await openArchive(written);
        const { checksum, lacks = [] } = manifest;
        return { file, bytes: written.size, checksum, lacks };
      });
      cli.output.result('repacked', about, () =>
        [
          `${file}: ${bytes(about.bytes)}, from ${bytes(source.size)}; checksum ${about.checksum}.`,
          ...about.lacks.map((lack) => `Not in archive: ${lack}`),
        ]
          .map(printable)
          .join('\n'),
      );
    } finally {
      progress.stop();
    }
  });
}

interface ConvertArchiveFlags extends OpenFlags, ConvertFlags {
  readonly output: string;
  readonly force: boolean;
  readonly dryRun: boolean;
}

async function convert(cli: Cli, reference: string, flags: ConvertArchiveFlags): Promise<void> {
  const { output: file, as } = flags;
  await interruptible((signal) =>
    withArchive(cli, reference, flags, async (opened, source) => {
      const written = await convertArchive(cli, opened, { ...flags, file, signal });
      if (!written) return;
      const about = { file, ...written, converted_from: opened.archive.manifest.backup_id, as };
      cli.output.result('converted', about, () =>
        printable(
          `${file}: ${bytes(written.bytes)}, from ${source.name}; verified, checksum ${written.checksum}.`,
        ),
      );
    }),
  );
}

function noEntry(name: string): NotFoundError {
  return new NotFoundError(`The archive has no entry ${quoteName(name)}.`, {
    remedy: 'List its entries with `ngbak archive list`.',
  });
}

function codec(text: string): Codec {
  const parsed = Codec.safeParse(text);
  if (!parsed.success) throw new InvalidArgumentError('It must be gzip or zstd.');
  return parsed.data;
}

function level(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 19)
    throw new InvalidArgumentError('It must be 1 to 19.');
  return value;
}
