import { expect } from '@jest/globals';
import { rememberLeftovers } from '../workflows/drill/stage.ts';
import { fillTarget, OPTIONS, readTarget } from './content.ts';
import { deployedStack } from './harness.ts';

/** Fills the target `options`, and backs it up for drills. Returns its content, which no drill may change. */
export async function backUpOptions(): Promise<{ live: unknown; backupId: string }> {
  await rememberLeftovers();
  await fillTarget(OPTIONS);
  const live: unknown = await readTarget(OPTIONS);
  const { output, cause } = await deployedStack().run('Backup', { target: 'options' });
  expect(cause).toBeUndefined();
  const { backup_id: backupId } = JSON.parse(output ?? '') as { backup_id: string };
  return { live, backupId };
}
