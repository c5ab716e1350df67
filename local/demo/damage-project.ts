import {
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';

/**
 * Damages a project of Microsoft GraphRAG in S3: deletes, changes and adds files of its tables, its vectors and its settings.
 * Returns a description in lines.
 */
export async function damageProject(place: {
  readonly bucket: string;
  readonly prefix: string;
}): Promise<string[]> {
  const s3 = new S3Client({});
  const Bucket = place.bucket;
  const key = (name: string) => `${place.prefix}/${name}`;
  const put = (name: string, Body: string | Uint8Array) =>
    s3.send(new PutObjectCommand({ Bucket, Key: key(name), Body }));
  const remove = (Key: string) => s3.send(new DeleteObjectCommand({ Bucket, Key }));
  const bytesOf = async (name: string) => {
    const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key: key(name) }));
    return Buffer.from((await Body?.transformToByteArray()) ?? []);
  };
  try {
    await remove(key('output/entities.parquet'));
    const relationships = await bytesOf('output/relationships.parquet');
    await put('output/relationships.parquet', relationships.subarray(0, relationships.length / 2));
    await put('output/text_units.parquet', withOneBitChanged(await bytesOf('output/text_units.parquet')));
    const { Contents = [] } = await s3.send(
      new ListObjectsV2Command({ Bucket, Prefix: key('output/lancedb/entity_description.lance/data/') }),
    );
    const vectors = Contents.map(({ Key = '' }) => Key.slice(place.prefix.length + 1));
    for (const name of vectors) await put(name, withOneBitChanged(await bytesOf(name)));
    await put('output/intruder.parquet', 'lost');
    await put('settings.yaml', 'lost: true\n');
    await remove(key('prompts/extract_graph.txt'));
    return [
      'deleted the table of entities, half of that of relationships and a prompt, changed one bit of the text units and',
      `of each of ${vectors.length} files with vectors of entities, replaced the settings, added an intruder`,
    ];
  } finally {
    s3.destroy();
  }
}

/** In the middle, which is neither the beginning of a file nor the list of its contents at the end. */
function withOneBitChanged(bytes: Buffer): Buffer {
  const middle = bytes.length >> 1;
  bytes.writeUInt8(bytes.readUInt8(middle) ^ 1, middle);
  return bytes;
}
