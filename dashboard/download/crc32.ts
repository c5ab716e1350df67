/** The polynomial of CRC-32 as gzip and S3 use it (ISO 3309), bit-reversed. */
const POLYNOMIAL = 0xedb88320;

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ POLYNOMIAL : value >>> 1;
  return value;
});

/** CRC-32 of chunked bytes. In JavaScript: the page's policy does not allow WebAssembly. */
export class Crc32 {
  #value = 0xffffffff;

  update(bytes: Uint8Array): void {
    let value = this.#value;
    for (const byte of bytes) value = (TABLE[(value ^ byte) & 0xff] ?? 0) ^ (value >>> 8);
    this.#value = value;
  }

  /** In the notation of S3: big-endian bytes in base64. */
  base64(): string {
    const value = ~this.#value >>> 0;
    const bytes = [24, 16, 8, 0].map((shift) => (value >>> shift) & 0xff);
    return btoa(String.fromCharCode(...bytes));
  }
}
