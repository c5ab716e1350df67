import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** Why a test cannot have its own disk here; undefined if it can. */
export function smallDiskMissing(): string | undefined {
  try {
    const probe = 'command -v nsenter && mount -t tmpfs -o size=1m tmpfs /tmp';
    execFileSync('unshare', ['-rm', 'sh', '-c', probe], { stdio: 'ignore' });
    return undefined;
  } catch {
    return 'this machine does not let its users mount a tmpfs in a namespace (`unshare -rm`)';
  }
}

/**
 * A disk for one test that can fill up: a tmpfs over a folder, in separate namespaces, so that no other process sees it
 * and no privileges are needed (if the system allows user namespaces; root may in any case).
 */
export class SmallDisk {
  /** Path of the folder's contents for processes outside. */
  readonly root: string;
  readonly #holder: ChildProcess;

  private constructor(holder: ChildProcess, folder: string) {
    this.#holder = holder;
    this.root = `/proc/${holder.pid}/root${folder}`;
  }

  static async over(folder: string, megabytes: number): Promise<SmallDisk> {
    const script = 'mount -t tmpfs -o size="$1"m tmpfs "$2" && echo ready && exec sleep infinity';
    const holder = spawn('unshare', ['-rm', 'sh', '-c', script, 'sh', String(megabytes), folder], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [said] = await Promise.race([once(holder.stdout, 'data'), once(holder, 'exit')]);
    if (String(said) === 'ready\n') return new SmallDisk(holder, folder);
    throw new Error('No disk of its own for this test: `unshare -rm` is not allowed to mount a tmpfs here.');
  }

  /** The command that starts a program that sees the disk. */
  wrap(command: string, args: readonly string[]): [string, string[]] {
    const enter = ['--preserve-credentials', '-U', '-m', '-t', String(this.#holder.pid)];
    return ['nsenter', [...enter, command, ...args]];
  }

  /** Uses up all of its space. */
  fill(): void {
    const file = openSync(join(this.root, 'filler'), 'a');
    try {
      for (const block of [Buffer.alloc(1024 ** 2), Buffer.alloc(4096)]) {
        try {
          for (;;) writeSync(file, block);
        } catch (error) {
          if (Reflect.get(Object(error), 'code') !== 'ENOSPC') throw error;
        }
      }
    } finally {
      closeSync(file);
    }
  }

  free(): void {
    rmSync(join(this.root, 'filler'), { force: true });
  }

  /** Unmounts it, with everything on it. */
  remove(): void {
    this.#holder.kill('SIGKILL');
  }
}
