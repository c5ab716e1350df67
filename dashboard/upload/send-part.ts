import { UploadError } from './errors.ts';

/** The destination of one part. The address is a credential: it is kept in memory only and never shown. */
export interface PartAddress {
  readonly url: string;
  /** Signed headers that must be sent along. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Sends one part. `onProgress` reports the number of its bytes in transit. Rejects with an UploadError. */
export type SendPart = (
  address: PartAddress,
  data: ArrayBuffer,
  options: { readonly signal: AbortSignal; readonly onProgress: (bytes: number) => void },
) => Promise<void>;

/** Time without a byte after which a connection is considered dead, in milliseconds. */
const STALLED_MS = 60_000;

/** Sends a part by XMLHttpRequest: fetch does not report upload progress. */
export const sendPart: SendPart = (address, data, { signal, onProgress }) =>
  new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const request = new XMLHttpRequest();
    let timer: ReturnType<typeof setTimeout>;
    const alive = () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        fail(new UploadError('retry', 'The connection to S3 stalled.'));
        request.abort();
      }, STALLED_MS);
    };
    const abort = () => {
      fail(signal.reason);
      request.abort();
    };
    function end() {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
    }
    function fail(error: unknown) {
      end();
      reject(error);
    }
    signal.addEventListener('abort', abort, { once: true });
    request.upload.onprogress = ({ loaded }) => {
      alive();
      onProgress(loaded);
    };
    request.onerror = () => fail(new UploadError('retry', 'The connection to S3 was closed.'));
    request.onload = () => {
      if (request.status < 300) {
        end();
        resolve();
      } else {
        fail(explainAnswer(request.status, request.responseText));
      }
    };
    request.open('PUT', address.url);
    for (const [name, value] of Object.entries(address.headers)) request.setRequestHeader(name, value);
    alive();
    request.send(data);
  });

/** Interprets a response of S3. Codes: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html */
export function explainAnswer(status: number, text: string): UploadError {
  const code = /<Code>([A-Za-z0-9]{1,60})<\/Code>/.exec(text.slice(0, 4096))?.[1] ?? `status ${status}`;
  if (code === 'NoSuchUpload') return new UploadError('gone', 'S3 no longer knows this upload.');
  // An expired address is refused with 403, like an invalid one: a new address shows which it was.
  if (status === 403 || code === 'RequestTimeTooSkewed')
    return new UploadError('address', `S3 refused: ${code}.`);
  if (
    status >= 500 ||
    status === 408 ||
    status === 429 ||
    code === 'RequestTimeout' ||
    code === 'BadDigest'
  ) {
    return new UploadError('retry', `S3 answered ${code}.`);
  }
  return new UploadError('refused', `S3 rejected a part: ${code}.`);
}
