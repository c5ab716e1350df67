/**
 * Maps a stream with up to `concurrency` calls in progress, and yields their results in the order of the input. Reads
 * an input only when there is room, so at most `concurrency` inputs and results are held.
 */
export async function* mapOrdered<In, Out>(
  inputs: AsyncIterable<In> | Iterable<In>,
  concurrency: number,
  map: (input: In) => Promise<Out>,
): AsyncGenerator<Out> {
  // A failure waits in the queue as a value until its turn, which keeps the order and leaves no rejection unhandled.
  type Settled = { ok: true; value: Out } | { ok: false; error: unknown };
  const queue: Promise<Settled>[] = [];
  const take = async (settled: Promise<Settled> | undefined): Promise<Out> => {
    const result = await settled;
    if (result?.ok) return result.value;
    throw result?.error;
  };
  try {
    for await (const input of inputs) {
      queue.push(
        map(input).then(
          (value): Settled => ({ ok: true, value }),
          (error: unknown): Settled => ({ ok: false, error }),
        ),
      );
      if (queue.length >= concurrency) yield await take(queue.shift());
    }
    while (queue.length > 0) yield await take(queue.shift());
  } finally {
    await Promise.all(queue);
  }
}
