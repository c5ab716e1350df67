import type { ArchiveLimits } from './limits.ts';
import type { ByteSource, Json } from './types.ts';

export interface Verification {
  readonly cursor: Json;
  timeLeft(): number;
  readonly signal?: AbortSignal;
  progress?(bytesDone: number, bytesTotal: number): void;
  readonly limits?: Partial<ArchiveLimits>;
}

export interface VerificationResult {
  /** Where the next leg goes on; null where every byte was checked. */
  readonly cursor: Json;
  /** What is wrong, in words that name the entry; of all legs so far, at most 20. */
  readonly problems: readonly string[];
}

/** One leg of checking every byte of a seekable archive. */
export async function verifyArchive(
  source: ByteSource,
  _verification: Verification,
): Promise<VerificationResult> {
  throw new Error(`not yet: ${source.name}`);
}
