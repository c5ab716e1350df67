import type { S3Client } from '@aws-sdk/client-s3';
import type { Codec } from './codec.ts';
import type { Manifest, ManifestDraft } from './manifest.ts';
import type { Json } from './types.ts';

export interface Composition {
  readonly s3: S3Client;
  readonly bucket: string;
  /** Prefix of the segments and their records, ending with `/`. */
  readonly segments: string;
  /** Prefix for what the composition keeps between legs, ending with `/`. */
  readonly work: string;
  /** Key of the archive. */
  readonly key: string;
  /** Whose archive it is: where the key exists already, a leg that was cut off recognises its own by it. */
  readonly owner: string;
  readonly codec: Codec;
  readonly manifest: ManifestDraft;
  readonly cursor: Json;
  timeLeft(): number;
  readonly signal: AbortSignal;
  progress?(bytesDone: number, bytesTotal: number): void;
}

export interface ComposedArchive {
  readonly size: number;
  /** S3's full-object CRC-32, base64. */
  readonly crc32: string;
  /** Absent where the bucket has no versions. */
  readonly versionId?: string;
  readonly manifest: Manifest;
}

export type CompositionResult =
  | { readonly cursor: NonNullable<Json>; readonly archive?: undefined }
  | { readonly cursor: null; readonly archive: ComposedArchive };

/** One leg of composing the segments below `segments` into one archive, on S3's side. */
export async function composeArchive(composition: Composition): Promise<CompositionResult> {
  throw new Error(`not yet: ${composition.key}`);
}

/** Gives up a composition: aborts its multipart upload. Idempotent. */
export async function abortComposition(
  composition: Pick<Composition, 's3' | 'bucket' | 'key'>,
): Promise<void> {
  throw new Error(`not yet: ${composition.key}`);
}
