import type { ApiClient } from '../api.ts';
import { Speed } from '../upload/speed.ts';
import { fetchArchive } from './fetch-archive.ts';
import { saveLink } from './save-link.ts';
import { openScratch } from './scratch.ts';

/** Jobs whose archive is to be downloaded once they have completed: survives a reload of the tab. */
const STORAGE_KEY = 'ngbak.downloads';

export interface DownloadState {
  /** `browser`: passed to the browser, which shows its own progress. */
  readonly phase: 'starting' | 'downloading' | 'saved' | 'browser' | 'cancelled' | 'failed';
  readonly done: number;
  readonly total: number;
  readonly bytesPerSecond?: number | undefined;
  readonly fileName?: string | undefined;
  readonly error?: unknown;
}

/** The download of the archive of one backup, which continues while the user views other pages. */
export class ArchiveDownload {
  readonly #listeners = new Set<() => void>();
  readonly #abort = new AbortController();
  readonly #speed = new Speed();
  #state: DownloadState = { phase: 'starting', done: 0, total: 0 };

  readonly state = (): DownloadState => this.#state;
  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  cancel(): void {
    this.#abort.abort();
  }

  /** Downloads, verifies and saves. Never throws: the result is in the state. */
  async run(api: ApiClient, backupId: string): Promise<void> {
    const { signal } = this.#abort;
    try {
      const link = () => api.downloadBackup(backupId);
      const first = await link();
      const fileName = first.file_name;
      const scratch = await openScratch(first.bytes);
      if (!scratch) {
        saveLink(first.url, fileName);
        this.#set({ phase: 'browser', fileName });
        return;
      }
      this.#set({ phase: 'downloading', total: first.bytes, fileName });
      let file: File;
      try {
        await fetchArchive({ link, sink: scratch, signal, progress: (done) => this.#progress(done) });
        file = await scratch.finish();
      } catch (error) {
        await scratch.discard();
        throw error;
      }
      // Not revoked: the browser reads it until it has copied the file.
      saveLink(URL.createObjectURL(file), fileName);
      this.#set({ phase: 'saved' });
    } catch (error) {
      this.#set(signal.aborted ? { phase: 'cancelled' } : { phase: 'failed', error });
    }
  }

  #progress(done: number): void {
    this.#speed.sample(done, performance.now());
    this.#set({ done, bytesPerSecond: this.#speed.bytesPerSecond() });
  }

  #set(changes: Partial<DownloadState>): void {
    this.#state = { ...this.#state, ...changes };
    for (const listener of this.#listeners) listener();
  }
}

const running = new Map<string, ArchiveDownload>();

/** Remembers that the archive of this job is to be downloaded once it has completed. */
export function requestDownload(jobId: string): void {
  writeWanted([...readWanted(), jobId]);
}

export function isWanted(jobId: string): boolean {
  return readWanted().includes(jobId);
}

export function discardDownload(jobId: string): void {
  writeWanted(readWanted().filter((id) => id !== jobId));
}

/** The download of a job's archive in this tab, if it has started. */
export function runningDownload(jobId: string): ArchiveDownload | undefined {
  return running.get(jobId);
}

/** Starts the download of a completed job if it is requested and has not started. Undefined if it is not requested. */
export function beginWanted(jobId: string, backupId: string, api: ApiClient): ArchiveDownload | undefined {
  if (!isWanted(jobId)) return undefined;
  discardDownload(jobId);
  const download = new ArchiveDownload();
  running.set(jobId, download);
  void download.run(api, backupId);
  return download;
}

function readWanted(): string[] {
  return (sessionStorage.getItem(STORAGE_KEY) ?? '').split(' ').filter((id) => id !== '');
}

function writeWanted(ids: readonly string[]): void {
  sessionStorage.setItem(STORAGE_KEY, ids.join(' '));
}
