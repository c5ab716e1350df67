import { compareStores, type StoresComparison, type StoresLeg } from './compare-stores.ts';
import type { ComparedStore } from './result.ts';
import { FolderRuns } from './run-store.ts';

/** A comparison in one leg without a time limit, whose intermediate files are in a temporary folder. */
export async function compareHere(
  comparison: Omit<StoresComparison, 'runs' | 'secondsMax'>,
  leg: Omit<StoresLeg, 'state' | 'timeLeft'>,
): Promise<readonly ComparedStore[]> {
  const folders: FolderRuns[] = [];
  const runs = () => {
    const folder = new FolderRuns();
    folders.push(folder);
    return folder;
  };
  const unlimited = Number.POSITIVE_INFINITY;
  try {
    const { stores } = await compareStores(
      { ...comparison, runs, secondsMax: unlimited },
      { ...leg, state: null, timeLeft: () => unlimited },
    );
    return stores;
  } finally {
    for (const folder of folders) await folder.close();
  }
}
