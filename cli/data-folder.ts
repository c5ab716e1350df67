import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';

/**
 * The folder of ngbak's user data, by the conventions of the platform: `$XDG_DATA_HOME/ngbak`, and without that
 * variable `~/.local/share/ngbak`, `~/Library/Application Support/ngbak` or `%LOCALAPPDATA%\ngbak`. A relative path in
 * the variable is ignored (XDG Base Directory Specification 0.8).
 */
export function dataFolder(
  environment: NodeJS.ProcessEnv = process.env,
  platform: NodeJS.Platform = process.platform,
): string {
  const { XDG_DATA_HOME: xdg, LOCALAPPDATA: local } = environment;
  if (xdg !== undefined && isAbsolute(xdg)) return join(xdg, 'ngbak');
  if (platform === 'darwin') return join(homedir(), 'Library', 'Application Support', 'ngbak');
  if (platform === 'win32') return join(local ?? join(homedir(), 'AppData', 'Local'), 'ngbak');
  return join(homedir(), '.local', 'share', 'ngbak');
}

/** Where downloads go if nothing else is configured. */
export function downloadFolder(environment: NodeJS.ProcessEnv = process.env): string {
  return join(dataFolder(environment), 'backups');
}
