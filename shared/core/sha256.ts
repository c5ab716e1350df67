import { createHash } from 'node:crypto';
import { createSHA256, type IHasher } from 'hash-wasm';

/** A SHA-256 under way. */
export interface Sha256 {
  update(bytes: Uint8Array): void;
  /** 64 lower-case hexadecimal digits; ends the digest. */
  digest(): string;
}

/** A SHA-256 that can be put down in one invocation and taken up in another. */
export interface ResumableSha256 extends Sha256 {
  /**
   * State to continue from, base64. After a multiple of 64 bytes it holds nothing of what was digested; otherwise it
   * holds up to 63 bytes of it, and must be kept where data may be kept.
   */
  save(): string;
}

/** SHA-256's block, in bytes (FIPS 180-4). */
export const SHA256_BLOCK = 64;
/** In hash-wasm's state, the unfinished block follows four bytes that tell its build. A test holds this to be true. */
const BLOCK_AT = 4;

/** Node's own: several times faster than WebAssembly, but it can't be saved. */
export function nativeSha256(): Sha256 {
  const hash = createHash('sha256');
  return { update: (bytes) => void hash.update(bytes), digest: () => hash.digest('hex') };
}

/** hash-wasm's, from the start or from a state saved by the same version of it. */
export async function resumableSha256(state?: string): Promise<ResumableSha256> {
  const fresh = await createSHA256();
  const hasher: IHasher = state === undefined ? fresh.init() : fresh.load(Buffer.from(state, 'base64'));
  return {
    update: (bytes) => void hasher.update(bytes),
    digest: () => hasher.digest('hex'),
    save: () => {
      const saved = Buffer.from(hasher.save());
      // Bytes of the last finished block may still stand there; they no longer count.
      const digested = Number(saved.readBigUInt64LE(BLOCK_AT + SHA256_BLOCK));
      const open = digested % SHA256_BLOCK;
      saved.fill(0, BLOCK_AT + open, BLOCK_AT + SHA256_BLOCK);
      return saved.toString('base64');
    },
  };
}
