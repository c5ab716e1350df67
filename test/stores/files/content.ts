import type { ContentFindings } from '../../../shared/stores/content-check.ts';
import { filesAdapter } from '../../../shared/stores/files/adapter.ts';
import type { MemoryArchive } from '../memory-archive.ts';

/** What the check of an archive finds in its files. Its state is saved and read again after every entry. */
export async function contentOf(archive: MemoryArchive): Promise<ContentFindings> {
  const origin = { archive, scope: undefined, version: undefined, edition: undefined };
  let check = filesAdapter.check(origin);
  for await (const entry of archive.entries('kv/')) {
    const sink = check.open(entry);
    for await (const chunk of archive.open(entry)) await sink?.write(chunk);
    await sink?.end();
    check = filesAdapter.check(origin, JSON.parse(JSON.stringify(check.save())));
  }
  return check.end();
}
