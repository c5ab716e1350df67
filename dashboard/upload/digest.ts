/** SHA-256 in hexadecimal. Works in secure contexts only (https, or localhost), as all of Web Crypto. */
export async function sha256(data: ArrayBuffer): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', data));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
