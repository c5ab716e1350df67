import { NgbakError } from '../../shared/core/errors.ts';

export interface QdrantEndpoint {
  readonly url: string;
  readonly api_key?: string | undefined;
}

/**
 * One request to Qdrant. Request and response bodies are JSON text, which the caller serializes and parses: ids have
 * 64 bits, which neither JSON.stringify nor JSON.parse preserves. Throws NgbakError if the server rejects the
 * request.
 */
export async function askQdrant(
  connection: QdrantEndpoint,
  request: { method: string; path: string; body?: string; signal?: AbortSignal },
): Promise<string> {
  const { method, path, body, signal } = request;
  // Qdrant closes connections after some idle seconds, possibly just as the next request is sent.
  const headers: Record<string, string> = { 'content-type': 'application/json', connection: 'close' };
  if (connection.api_key !== undefined) headers['api-key'] = connection.api_key;
  const answer = await fetch(new URL(path, connection.url), {
    method,
    headers,
    ...(signal === undefined ? {} : { signal }),
    ...(body === undefined ? {} : { body }),
  });
  const text = await answer.text();
  if (answer.ok) return text;
  throw new NgbakError(`Qdrant answered ${answer.status} to ${method} ${path}: ${text.slice(0, 300)}`, {
    remedy: 'Check the log of the Qdrant server.',
  });
}
