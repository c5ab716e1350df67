import type { S3Client } from '@aws-sdk/client-s3';
import type { Json } from '../../core/json.ts';
import type { Codec } from '../format/codec.ts';
import type { ManifestDraft } from '../format/manifest.ts';

/** What is composed into an archive, and where. */
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
  /** The name that a browser saves the archive under, whatever link it follows. */
  readonly fileName?: string;
  readonly manifest: ManifestDraft;
  /** What the leg before returned; null for the first one. */
  readonly cursor: Json;
  /** Milliseconds until the leg should have ended. */
  timeLeft(): number;
  readonly signal: AbortSignal;
  progress?(bytesDone: number, bytesTotal: number): void;
}
