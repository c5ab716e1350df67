/** CPU time, memory and I/O of the processes of a local stack, by function and by server. Linux only. */
import { writeFile } from 'node:fs/promises';
import { processIds, readOfProcess, residentBytes, STACK_MARK, ticksOf } from '../local/processes.ts';
import type { Stack } from '../local/stack.ts';

/** Sampling interval in milliseconds: usage after a process's last sample is lost when it ends. */
const SAMPLE_MS = 100;
/** Kernel ticks per second (sysconf(3), _SC_CLK_TCK). */
const TICKS_PER_SECOND = 100;
const SERVERS: Readonly<Record<string, string>> = {
  java: 'Neo4j',
  qdrant: 'Qdrant',
  'redis-server': 'Redis',
  python3: 'AWS emulator',
};

/** Resource usage of a function or server. */
export interface Usage {
  readonly cpuSeconds: number;
  /** Largest resident memory of one of its processes, in bytes. */
  readonly peakBytes: number;
  /** Bytes read and written, mostly over the network. */
  readonly movedBytes: number;
}

interface Seen {
  readonly name: string;
  /** Usage before the measurement began. */
  readonly before: { readonly ticks: number; readonly moved: number };
  ticks: number;
  moved: number;
  peakBytes: number;
}

/** Measures the processes of a stack from its creation until {@link stop}. */
export class ProcessUsage {
  readonly #stack: Pick<Stack, 'folder' | 'aws'>;
  readonly #seen = new Map<number, Seen | undefined>();
  #looking: Promise<void>;
  #ended = false;

  private constructor(stack: Pick<Stack, 'folder' | 'aws'>) {
    this.#stack = stack;
    this.#looking = Promise.resolve();
  }

  static async start(stack: Pick<Stack, 'folder' | 'aws'>): Promise<ProcessUsage> {
    const usage = new ProcessUsage(stack);
    await usage.#look(true);
    usage.#looking = usage.#watch();
    return usage;
  }

  /** By function (without the name of the stack) or server, the largest first. */
  async stop(): Promise<Map<string, Usage>> {
    this.#ended = true;
    await this.#looking;
    await this.#look(false);
    const sums = new Map<string, Usage>();
    for (const seen of this.#seen.values()) {
      if (!seen) continue;
      const { cpuSeconds = 0, peakBytes = 0, movedBytes = 0 } = sums.get(seen.name) ?? {};
      const ticks = seen.ticks - seen.before.ticks;
      if (ticks === 0) continue;
      sums.set(seen.name, {
        cpuSeconds: cpuSeconds + ticks / TICKS_PER_SECOND,
        peakBytes: Math.max(peakBytes, seen.peakBytes),
        movedBytes: movedBytes + seen.moved - seen.before.moved,
      });
    }
    return new Map([...sums].sort(([, left], [, right]) => right.cpuSeconds - left.cpuSeconds));
  }

  async #watch(): Promise<void> {
    while (!this.#ended) {
      await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS));
      await this.#look(false);
    }
  }

  async #look(first: boolean): Promise<void> {
    const ids = await processIds();
    await Promise.all(ids.map((id) => this.#lookAt(id, first)));
  }

  async #lookAt(id: number, first: boolean): Promise<void> {
    if (!this.#seen.has(id)) this.#seen.set(id, await this.#recognize(id, first));
    const seen = this.#seen.get(id);
    if (!seen) return;
    const now = await usageOf(id);
    if (!now) return;
    Object.assign(seen, now);
  }

  async #recognize(id: number, first: boolean): Promise<Seen | undefined> {
    const environment = (await readOfProcess(id, 'environ')).split('\0');
    const variable = (name: string) =>
      environment.find((entry) => entry.startsWith(`${name}=`))?.slice(name.length + 1);
    const belongsToStack =
      variable(STACK_MARK) === this.#stack.folder ||
      variable('AWS_ENDPOINT_URL') === this.#stack.aws.endpoint;
    if (!belongsToStack) return undefined;
    const functionName = variable('AWS_LAMBDA_FUNCTION_NAME')?.replace(/^[^-]*-/, '');
    const command = (await readOfProcess(id, 'comm')).trim();
    const name = functionName ?? SERVERS[command];
    if (name === undefined) return undefined;
    // Resets the peak (proc_pid_clear_refs(5)).
    await writeFile(`/proc/${id}/clear_refs`, '5').catch(() => undefined);
    const used = (first ? await usageOf(id) : undefined) ?? { ticks: 0, moved: 0 };
    return { name, before: used, ticks: used.ticks, moved: used.moved, peakBytes: 0 };
  }
}

async function usageOf(id: number): Promise<{ ticks: number; moved: number; peakBytes: number } | undefined> {
  const [ticks, io, peakBytes] = await Promise.all([
    ticksOf(id),
    readOfProcess(id, 'io'),
    residentBytes(id, 'VmHWM'),
  ]);
  if (ticks === undefined || peakBytes === undefined) return undefined;
  const bytes = (name: string) => Number(new RegExp(`${name}: (\\d+)`).exec(io)?.[1] ?? 0);
  return { ticks, moved: bytes('rchar') + bytes('wchar'), peakBytes };
}
