import { createHash } from 'node:crypto';
import { createSHA256, type IHasher } from 'hash-wasm';

/** A SHA-256 computation in progress. */
export interface Sha256 {
  update(bytes: Uint8Array): void;
  /** 64 lower-case hexadecimal digits; ends the computation. */
  digest(): string;
}

/** A SHA-256 computation that can be saved in one invocation and resumed in another. */
export interface ResumableSha256 extends Sha256 {
  /**
   * State to resume from, base64. After a multiple of 64 bytes it contains none of the data; otherwise it contains up
   * to 63 bytes of it, and may only be stored where the data may be stored.
   */
  save(): string;
}

/** SHA-256's block, in bytes (FIPS 180-4). */
export const SHA256_BLOCK = 64;
/** In hash-wasm's state, the incomplete block follows four bytes that identify its build. A test checks this. */
const BLOCK_AT = 4;

/** Node's implementation: several times faster than WebAssembly, but its state can't be saved. */
export function nativeSha256(): Sha256 {
  const hash = createHash('sha256');
  return { update: (bytes) => void hash.update(bytes), digest: () => hash.digest('hex') };
}

/** hash-wasm's implementation, from the start or from a state saved by the same version of it. */
export async function resumableSha256(state?: string): Promise<ResumableSha256> {
  const fresh = await createSHA256();
  const hasher: IHasher = state === undefined ? fresh.init() : fresh.load(Buffer.from(state, 'base64'));
  return {
    update: (bytes) => void hasher.update(bytes),
    digest: () => hasher.digest('hex'),
    save: () => {
      const saved = Buffer.from(hasher.save());
      // The rest of the block may still contain bytes of an earlier one, which are not part of the state.
      const digested = Number(saved.readBigUInt64LE(BLOCK_AT + SHA256_BLOCK));
      const open = digested % SHA256_BLOCK;
      saved.fill(0, BLOCK_AT + open, BLOCK_AT + SHA256_BLOCK);
      return saved.toString('base64');
    },
  };
}
