/** A program like local/demo and test/run.ts: starts a stack, prints that, and waits until it is interrupted. */
import { once } from 'node:events';
import { interruptible } from '../../local/interrupt.ts';
import { startStack } from '../../local/stack.ts';

await interruptible(async (signal) => {
  const stack = await startStack({ services: ['redis', 'qdrant', 'aws'], signal });
  try {
    console.log(stack.folder);
    if (!signal.aborted) {
      const alive = setInterval(() => undefined, 1_000);
      await once(signal, 'abort');
      clearInterval(alive);
    }
  } finally {
    await stack.stop();
  }
});
