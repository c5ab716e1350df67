import { createWriteStream, existsSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { type Command, InvalidArgumentError } from 'commander';
import { Codec } from '../../shared/archive/codec.ts';
import { quoteName } from '../../shared/archive/names.ts';
import { normalizeArchive } from '../../shared/archive/normalize.ts';
import { isSeekable, openArchive } from '../../shared/archive/open.ts';
import { fileSource } from '../../shared/archive/sources.ts';
import type { ByteSource, Json } from '../../shared/archive/types.ts';
import { verifyArchive } from '../../shared/archive/verify.ts';
import { InvalidInputError } from '../../shared/errors.ts';
import { NotFoundError } from '../../shared/operations/errors.ts';
import { convertScript } from '../../shared/stores/neo4j/script/convert.ts';
import { extractEntry } from '../archive/extract.ts';
import { type AnyArchive, openAny } from '../archive/open-any.ts';
import { resolveSource } from '../archive/resolve.ts';
import { showTransfer } from '../bars.ts';
import { type Cli, cliOf } from '../cli.ts';
import { ExitError } from '../exit-codes.ts';
import { bytes, count, localTime, printable } from '../format.ts';
import { facts, table } from '../output.ts';

const ARCHIVE = '<archive>';
const ARCHIVE_HELP = 'a file, an s3:// address, or the id of a backup';

interface RepackFlags {
  readonly codec: Codec;
  readonly level?: number;
  readonly cypherScript: boolean;
  readonly force: boolean;
}

/** `ngbak archive …`: work on archives themselves, without any store, and on files without AWS. */
export function archiveCommand(program: Command): void {
  const archive = program
    .command('archive')
    .summary('look into, check, unpack and rewrite archive files')
    .description(
      'Works on an archive itself: a file, an s3:// address, or the id of a backup. Needs no store; files need no AWS.',
    )
    .addHelpText(
      'after',
      `
An archive is a plain tar.gz: "tar -xzf x.ngbak && sha256sum -c SHA256SUMS" does without ngbak. These commands read only
what they need (a file of 1 TB in S3 is listed with two small reads), check every digest on the way, and take archives
that somebody packed again with tar, too.

Examples:
  ngbak archive list backup.ngbak --prefix kv/
  ngbak archive cat s3://bucket/backups/snapshot_2026-01-02T03-00-00Z.ngbak manifest.json
  ngbak archive verify snapshot_2026-01-02T03-00-00Z
  ngbak archive extract backup.ngbak -C restored graph/
  ngbak archive repack old.ngbak new.ngbak --codec zstd
`,
    );

  archive
    .command('list')
    .summary('what is in it')
    .description('Lists the manifest’s essentials and the entries with size and SHA-256.')
    .argument(ARCHIVE, ARCHIVE_HELP)
    .option('--prefix <prefix>', 'only entries whose names start so', '')
    .action(async (reference: string, { prefix }: { prefix: string }, command: Command) => {
      const cli = cliOf(command);
      await withArchive(cli, reference, (opened, source) => list(cli, opened, source, prefix));
    });

  archive
    .command('cat')
    .summary('print one entry')
    .description(
      'Writes one entry’s content to stdout. Exits with an error after the last byte where its digest is wrong.',
    )
    .argument(ARCHIVE, ARCHIVE_HELP)
    .argument('<entry>', 'name of the entry, such as kv/full_docs.json; also manifest.json')
    .action(async (reference: string, name: string, _options, command: Command) => {
      const cli = cliOf(command);
      await withArchive(cli, reference, async ({ archive: opened }) => {
        if (name === 'manifest.json') {
          process.stdout.write(`${JSON.stringify(opened.manifest, null, 2)}\n`);
          return;
        }
        const entry = await opened.find(name);
        if (!entry) throw noEntry(name);
        await pipeline(opened.open(entry), process.stdout, { end: false }).catch((error) => {
          // Who reads our output has enough of it: `ngbak archive cat … | head`.
          if (Reflect.get(error, 'code') !== 'EPIPE') throw error;
        });
      });
    });

  archive
    .command('extract')
    .summary('unpack it, checking every digest')
    .description('Unpacks entries below a folder. A file gets its name only when its digest was found right.')
    .argument(ARCHIVE, ARCHIVE_HELP)
    .argument('[prefixes...]', 'only entries whose names start so; left out: all')
    .option('-C, --folder <folder>', 'where to', '.')
    .option('-f, --force', 'replace files that are there', false)
    .action(
      async (
        reference: string,
        prefixes: string[],
        options: { folder: string; force: boolean },
        command: Command,
      ) => {
        const cli = cliOf(command);
        await withArchive(cli, reference, (opened, source) =>
          extract(cli, opened, source, prefixes, options),
        );
      },
    );

  archive
    .command('verify')
    .summary('check every byte')
    .description(
      'Checks every byte: footer, manifest, index, sums, tar headers, sizes and digests of all entries. Reports entry by entry and exits with 7 where anything is wrong.',
    )
    .argument(ARCHIVE, ARCHIVE_HELP)
    .action(async (reference: string, _options, command: Command) => verify(cliOf(command), reference));

  archive
    .command('repack')
    .summary('rewrite it as a seekable archive')
    .description(
      'Reads an archive front to back, checks it, and writes it anew: makes one that somebody packed again seekable, takes over one of NGRAF-023, changes the codec. The result is verified before it gets its name.',
    )
    .argument(ARCHIVE, ARCHIVE_HELP)
    .argument('<file>', 'the new archive')
    .option('--codec <codec>', 'gzip or zstd', (text) => codec(text), 'gzip')
    .option('--level <level>', '1 (fast) to 9 for gzip, to 19 for zstd', (text) => level(text))
    .option(
      '--cypher-script',
      'of an archive of NGRAF-023, take over the graph out of its Cypher script, none of which is executed',
      false,
    )
    .option('-f, --force', 'replace a file that is there', false)
    .action(async (reference: string, file: string, options: RepackFlags, command: Command) =>
      repack(cliOf(command), reference, file, options),
    );
}

async function withSource<T>(
  cli: Cli,
  reference: string,
  work: (source: ByteSource) => Promise<T>,
): Promise<T> {
  const source = await resolveSource(reference, () => cli.settings());
  try {
    return await work(source);
  } finally {
    await source.close();
  }
}

async function withArchive(
  cli: Cli,
  reference: string,
  work: (opened: AnyArchive, source: ByteSource) => Promise<void>,
): Promise<void> {
  await withSource(cli, reference, async (source) => {
    const progress = showTransfer(cli.output, 'reading');
    const opened = await openAny(source, progress.update, () =>
      cli.output.note(`${printable(source.name)} has no index: it is read from front to back first.`),
    ).finally(() => progress.stop());
    try {
      await work(opened, source);
    } finally {
      await opened.close();
    }
  });
}

async function list(
  cli: Cli,
  { archive, seekable }: AnyArchive,
  source: ByteSource,
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
    statistics: manifest.statistics,
    lacks: manifest.lacks ?? [],
  };
  cli.output.result('archive', about, () =>
    facts([
      ['backup', manifest.backup_id],
      ['made', localTime(manifest.created_at)],
      ['size', `${bytes(source.size)} (${bytes(manifest.index.bytes)} uncompressed)`],
      ['entries', count(manifest.index.entries)],
      ['checksum', manifest.checksum],
      ['seekable', seekable ? `yes, ${codec}` : 'no, it was packed again'],
      ...about.lacks.map((lack): [string, string] => ['lacks', lack]),
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
  source: ByteSource,
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
    printable(`${count(files)} files of ${bytes(size)} from ${source.name} are in ${folder}.`),
  );
}

async function verify(cli: Cli, reference: string): Promise<void> {
  await withSource(cli, reference, async (source) => {
    const progress = showTransfer(cli.output, 'verify');
    const entry = (name: string, problem: string | undefined) =>
      cli.output.event('entry', { name, is_valid: problem === undefined, problem });
    let problems: readonly string[] = [];
    const seekable = await isSeekable(source);
    try {
      if (seekable) {
        const leg = { timeLeft: () => Number.POSITIVE_INFINITY, progress: progress.update, entry };
        let cursor: Json = null;
        do ({ cursor, problems } = await verifyArchive(source, { ...leg, cursor }));
        while (cursor !== null);
      } else {
        // Nothing is kept of what is written: only the checks on the way count.
        const rewritten = normalizeArchive(source, { progress: progress.update, level: 1 });
        while (!(await rewritten.next()).done);
      }
    } finally {
      progress.stop();
    }
    const is_valid = problems.length === 0;
    cli.output.result('verification', { archive: source.name, is_valid, seekable, errors: problems }, () =>
      is_valid
        ? printable(
            seekable
              ? `${source.name}: every byte is as it was written.`
              : `${source.name}: every entry is as it was written. It was packed again and has no index: "ngbak archive repack" makes one.`,
          )
        : [`${source.name} is damaged:`, ...problems.map((problem) => `  ${problem}`)]
            .map(printable)
            .join('\n'),
    );
    if (!is_valid) throw new ExitError('damaged');
  });
}

async function repack(cli: Cli, reference: string, file: string, options: RepackFlags): Promise<void> {
  await withSource(cli, reference, async (source) => {
    const { force, cypherScript, ...how } = options;
    const script = cypherScript ? convertScript : undefined;
    if (existsSync(file) && !force) {
      throw new InvalidInputError(`${file} is there already.`, {
        remedy: 'Choose another name, or say --force to replace it.',
      });
    }
    const unfinished = `${file}.part`;
    const progress = showTransfer(cli.output, 'repack');
    try {
      await pipeline(
        normalizeArchive(source, { ...how, script, progress: progress.update }),
        createWriteStream(unfinished, { flags: 'wx' }),
      );
      const made = await fileSource(unfinished);
      try {
        const { problems } = await verifyArchive(made, {
          cursor: null,
          timeLeft: () => Number.POSITIVE_INFINITY,
        });
        if (problems.length > 0) throw new ExitError('damaged');
        const { manifest } = await openArchive(made);
        await rename(unfinished, file);
        const about = { file, bytes: made.size, checksum: manifest.checksum, lacks: manifest.lacks ?? [] };
        cli.output.result('repacked', about, () =>
          [
            `${file}: ${bytes(made.size)}, from ${bytes(source.size)}; checksum ${manifest.checksum}.`,
            ...about.lacks.map((lack) => `It lacks ${lack}.`),
          ]
            .map(printable)
            .join('\n'),
        );
      } finally {
        await made.close();
      }
    } catch (error) {
      // A part file that somebody else is writing is theirs.
      const taken = typeof error === 'object' && error !== null && Reflect.get(error, 'code') === 'EEXIST';
      if (!taken) await rm(unfinished, { force: true });
      if (!taken) throw error;
      throw new InvalidInputError(`${unfinished} is there already.`, {
        remedy: 'Somebody is writing it, or an earlier repack was killed: then remove it.',
        cause: error,
      });
    } finally {
      progress.stop();
    }
  });
}

function noEntry(name: string): NotFoundError {
  return new NotFoundError(`The archive has no entry ${quoteName(name)}.`, {
    remedy: 'See what it has: ngbak archive list.',
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
