import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** Why no test can have a disk of its own here; undefined where it can. */
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
 * A disk of a test's own that can be full: a tmpfs over a folder, in namespaces of its own, so that nobody else sees it
 * and no rights are needed (where the system lets users have namespaces; root may in any case).
 */
export class SmallDisk {
  /** The folder's content as processes outside see it. */
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

  /** How to start a program that sees the disk. */
  wrap(command: string, args: readonly string[]): [string, string[]] {
    const enter = ['--preserve-credentials', '-U', '-m', '-t', String(this.#holder.pid)];
    return ['nsenter', [...enter, command, ...args]];
  }

  /** Takes all of its room. */
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

  /** Ends it, with all that is on it. */
  remove(): void {
    this.#holder.kill('SIGKILL');
  }
}
