import type { ArchiveSource } from '../age/encrypted-source.ts';
import { showTransfer } from '../bars.ts';
import type { Cli } from '../cli.ts';
import { printable } from '../format.ts';
import { type AnyArchive, openAny } from './open-any.ts';
import { resolveSource } from './resolve.ts';

/** How an archive is opened. */
export interface OpenFlags {
  readonly identity?: readonly string[];
}

/** Opens the source of an archive, passes it to `work`, and closes it. */
export async function withSource<T>(
  cli: Cli,
  reference: string,
  { identity }: OpenFlags,
  work: (source: ArchiveSource) => Promise<T>,
): Promise<T> {
  const source = await resolveSource(reference, () => cli.settings(), identity);
  try {
    return await work(source);
  } finally {
    await source.close();
  }
}

/** Opens an archive from any packer, passes it to `work`, and closes it. */
export async function withArchive<T>(
  cli: Cli,
  reference: string,
  flags: OpenFlags,
  work: (opened: AnyArchive, source: ArchiveSource) => Promise<T>,
): Promise<T> {
  return withSource(cli, reference, flags, async (source) => {
    const progress = showTransfer(cli.output, 'reading');
    const opened = await openAny(source, progress.update, () =>
      cli.output.note(`${printable(source.name)} has no index: reading it front to back first.`),
    ).finally(() => progress.stop());
    try {
      return await work(opened, source);
    } finally {
      await opened.close();
    }
  });
}
