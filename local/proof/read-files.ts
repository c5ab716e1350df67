import { GetObjectCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import { digestOf, type Ledger } from './ledger.ts';

/** Levels of folders below the prefix that are parts of the proof: `output/lancedb`, but not the folders in it. */
const LEVELS = 2;
/** Files that are read at the same time. */
const PARALLEL = 8;

/** A folder of files in S3. */
export interface FilesPlace {
  readonly bucket: string;
  /** Without a slash at the end. */
  readonly prefix: string;
}

/** Reads every file below a prefix, with its size and all of its bytes. The SDK gets its credentials from the environment. */
export async function readFiles({ bucket, prefix }: FilesPlace, ledger: Ledger): Promise<void> {
  const s3 = new S3Client({});
  const read = async (key: string) => {
    const { Body } = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: key }));
    const bytes = (await Body?.transformToByteArray()) ?? new Uint8Array();
    const name = key.slice(prefix.length + 1);
    const folder = name.split('/').slice(0, -1).slice(0, LEVELS).join('/');
    await ledger.add({
      part: `files ${folder === '' ? '.' : folder}`,
      key: name,
      fields: { content: digestOf(bytes), size: digestOf(String(bytes.byteLength)) },
    });
  };
  try {
    for (let token: string | undefined; ; ) {
      const page = await s3.send(
        new ListObjectsV2Command({
          Bucket: bucket,
          Prefix: `${prefix}/`,
          ...(token === undefined ? {} : { ContinuationToken: token }),
        }),
      );
      const keys = (page.Contents ?? []).map(({ Key = '' }) => Key);
      for (let at = 0; at < keys.length; at += PARALLEL)
        await Promise.all(keys.slice(at, at + PARALLEL).map(read));
      token = page.NextContinuationToken;
      if (token === undefined) return;
    }
  } finally {
    s3.destroy();
  }
}
