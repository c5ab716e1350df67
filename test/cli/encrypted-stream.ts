/**
 * Runs as a separate process: downloads an archive from a test server, encrypted, then reads all of it back, and prints
 * the peak of its resident memory in MiB after a quarter of the download, at its end, and after the read.
 */
import { decrypted } from '../../cli/age/encrypted-source.ts';
import { downloadEncrypted } from '../../cli/transfer/download-encrypted.ts';
import { fileSource } from '../../shared/archive/read/sources.ts';

const [url = '', size = '', crc32 = '', path = '', recipient = '', keyFile = ''] = process.argv.slice(2);
const bytes = Number(size);
const peak = () => Math.round(process.resourceUsage().maxRSS / 1024);
const peaks: Record<string, number> = {};

await downloadEncrypted({
  link: async () => ({
    ...{ backup_id: 'large', url, headers: {}, file_name: 'large.ngbak', bytes, crc32 },
    expires_at: new Date().toISOString(),
  }),
  path,
  recipients: [recipient],
  signal: new AbortController().signal,
  progress: (done) => {
    if (done >= bytes / 4) peaks.quarter ??= peak();
  },
});
peaks.downloaded = peak();
const source = await decrypted(await fileSource(path), [keyFile]);
let read = 0;
for await (const chunk of source.read(0, source.size)) read += chunk.length;
await source.close();
peaks.read = peak();
process.stdout.write(`${JSON.stringify({ peaks, read })}\n`);
