/** The polynomial of CRC-32 as gzip and S3 use it (ISO 3309), bit-reversed. */
const POLYNOMIAL = 0xedb88320;
/** x^0, x^1: bit 31 is the lowest power. */
const ONE = 0x80000000;
const X = 0x40000000;

/** Product of two polynomials modulo {@link POLYNOMIAL}. */
function multiply(left: number, right: number): number {
  let product = 0;
  let factor = right;
  for (let bit = ONE; bit !== 0; bit >>>= 1) {
    if ((left & bit) !== 0) product ^= factor;
    factor = (factor & 1) !== 0 ? (factor >>> 1) ^ POLYNOMIAL : factor >>> 1;
  }
  return product >>> 0;
}

/**
 * CRC-32 of two consecutive runs of bytes, from the CRC-32 of each and the length of the second in bytes: the first
 * value, shifted over the second run's bits (multiplied by x^(8·length)), plus the second. Gives the CRC of an
 * archive from those of its segments, without reading their bytes.
 */
export function combineCrc32(first: number, second: number, secondLength: number): number {
  let shift = ONE;
  let power = multiply(multiply(X, X), multiply(X, X)); // x^4, squared below to x^8 for the first byte
  for (let rest = secondLength; rest > 0; rest = Math.floor(rest / 2)) {
    power = multiply(power, power);
    if (rest % 2 === 1) shift = multiply(shift, power);
  }
  return (multiply(shift, first) ^ second) >>> 0;
}

/** In S3's format: base64 of the big-endian bytes. */
export function crc32Base64(crc: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(crc);
  return bytes.toString('base64');
}

/** Eight lower-case hexadecimal digits. */
export function crc32Hex(crc: number): string {
  return crc.toString(16).padStart(8, '0');
}
