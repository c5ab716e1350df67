import { applyMode, Mode } from '@cloudscape-design/global-styles';

/** How the page looks; `system` follows what the user has set for the whole computer. */
export const MODES = ['system', 'light', 'dark'] as const;
export type ModeChoice = (typeof MODES)[number];

const STORAGE_KEY = 'ngbak.mode';
const prefersDark = matchMedia('(prefers-color-scheme: dark)');

/** What the user chose in this browser. */
export function modeChoice(): ModeChoice {
  const stored = localStorage.getItem(STORAGE_KEY);
  return MODES.find((mode) => mode === stored) ?? 'system';
}

/** Remembers the choice and shows it, in this tab now and in others with their next page. */
export function chooseMode(choice: ModeChoice): void {
  localStorage.setItem(STORAGE_KEY, choice);
  show();
}

/** Shows what was chosen, and follows the computer's setting from then on. */
export function startMode(): void {
  prefersDark.addEventListener('change', show);
  addEventListener('storage', ({ key }) => {
    if (key === STORAGE_KEY) show();
  });
  show();
}

function show(): void {
  const choice = modeChoice();
  const dark = choice === 'dark' || (choice === 'system' && prefersDark.matches);
  applyMode(dark ? Mode.Dark : Mode.Light);
}
