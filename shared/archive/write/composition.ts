import type { S3Client } from '@aws-sdk/client-s3';
import type { Json } from '../../core/json.ts';
import type { StorageClass } from '../../core/storage-class.ts';
import type { Codec } from '../format/codec.ts';
import type { ManifestDraft } from '../format/manifest.ts';

/** The sources and the destination of a composition. */
export interface Composition {
  readonly s3: S3Client;
  readonly bucket: string;
  /** Prefix of the segments and their records, ending with `/`. */
  readonly segments: string;
  /** Prefix of the composition's files between legs, ending with `/`. */
  readonly work: string;
  /** Key of the archive. */
  readonly key: string;
  /** Owner of the archive: if the key already exists, a repeated leg recognises its own archive by it. */
  readonly owner: string;
  readonly codec: Codec;
  /** The file name under which browsers save the archive. */
  readonly fileName?: string;
  /** Storage class of the archive. Default: that of the bucket, STANDARD. */
  readonly storageClass?: StorageClass;
  readonly manifest: ManifestDraft;
  /** What the previous leg returned; null for the first one. */
  readonly cursor: Json;
  /** Milliseconds until the leg should end. */
  timeLeft(): number;
  readonly signal: AbortSignal;
  progress?(bytesDone: number, bytesTotal: number): void;
}
