import { applyMode, Mode } from '@cloudscape-design/global-styles';

/** The colour mode of the page; `system` follows the setting of the operating system. */
export const MODES = ['system', 'light', 'dark'] as const;
export type ModeChoice = (typeof MODES)[number];

const STORAGE_KEY = 'ngbak.mode';
const prefersDark = matchMedia('(prefers-color-scheme: dark)');

/** The user's choice in this browser. */
export function modeChoice(): ModeChoice {
  const stored = localStorage.getItem(STORAGE_KEY);
  return MODES.find((mode) => mode === stored) ?? 'system';
}

/** Saves the choice and applies it, in this tab now and in others when they load their next page. */
export function chooseMode(choice: ModeChoice): void {
  localStorage.setItem(STORAGE_KEY, choice);
  show();
}

/** Applies the saved choice, and follows the system setting from then on. */
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
