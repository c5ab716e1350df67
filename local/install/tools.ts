import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type DebianPackage, installDebian, LIBRARIES } from './debian.ts';
import { findOnPath, type InstallContext } from './install.ts';

const pkg = (name: string, version: string, sha256: string): DebianPackage => ({ name, version, sha256 });

/** Both of its programs are named below. */
const AGE = pkg('age', '1.1.1-1+b3', '574664c44f1c69ec9cb8f6f25ae3eaba647c923f62b65cca5086c899c1c26e09');

/**
 * Programs that tests compare results with or that documented commands use, and their linked libraries other than
 * those that apt itself needs.
 */
const TOOLS: Readonly<Record<string, readonly DebianPackage[]>> = {
  bsdtar: [
    pkg(
      'libarchive-tools',
      '3.6.2-1+deb12u5',
      'c2b48182c0544e8234557c5c202c3dce898dacee535342e4875e68d72cad948a',
    ),
    pkg(
      'libarchive13',
      '3.6.2-1+deb12u5',
      '45419b8c7646c1af12783ae31906ce2da4c465c1a948b01f8f44152d8269f403',
    ),
    pkg('libacl1', '2.3.1-3', '8be9df5795114bfe90e2be3d208ef47a5edd3fc7b3e20d387a597486d444e5e2'),
    pkg('libbz2-1.0', '1.0.8-5+b1', '54149da3f44b22d523b26b692033b84503d822cc5122fed606ea69cc83ca5aeb'),
    pkg('libicu72', '72.1-3+deb12u1', 'f7f6f99c6d7b025914df2447fc93e11d22c44c0c8bdd8b6f36691c9e7ddcef88'),
    pkg('liblz4-1', '1.9.4-1', '64cde86cef1deaf828bd60297839b59710b5cd8dc50efd4f12643caaee9389d3'),
    pkg('libnettle8', '3.8.1-2', '45922e6e289ffd92f0f92d2bb9159e84236ff202d552a461bf10e5335b3f0261'),
    pkg(
      'libxml2',
      '2.9.14+dfsg-1.3~deb12u6',
      '4460e39dda10a815881374217cde08474747cfa018358cd8612c14b390eff53b',
    ),
  ],
  jq: [
    pkg('jq', '1.6-2.1+deb12u3', 'c25f3fda201207ed98b1d63686f2d81b9dfeb99f1ab2d1d35fb3f7b6a1c107dc'),
    pkg('libjq1', '1.6-2.1+deb12u3', '5e9a7081ba10ce826f6d3d103aa9b912170c5adc836e2561000733571995dd5b'),
    pkg('libonig5', '6.9.8-1', '59ecfce6d88c7c4b09496ce182b3b8303e8e8477664e009b16ae83a09cd12be7'),
  ],
  age: [AGE],
  'age-keygen': [AGE],
  zstd: [
    pkg('zstd', '1.5.4+dfsg2-5', '3f6f833ae2fd533a0c9238310aef1148f51a64aa5d5f1278451ddc793d4d6d15'),
    pkg('liblz4-1', '1.9.4-1', '64cde86cef1deaf828bd60297839b59710b5cd8dc50efd4f12643caaee9389d3'),
  ],
};
const LIBGOMP = pkg(
  'libgomp1',
  '12.2.0-14+deb12u1',
  '48fec46bda7f5b1638b9e959889bfbc20491247d402d120bb152687eb48143d7',
);
const SYSTEM_LIBRARIES = ['/usr/lib/x86_64-linux-gnu', '/lib/x86_64-linux-gnu', '/usr/lib64', '/lib64'];

/**
 * Installs the programs of {@link TOOLS} that are not on the PATH, and returns the folder to append to it; undefined
 * if none is missing. Throws LocalStackError if the machine has no such packages.
 */
export async function installTools(context: InstallContext): Promise<string | undefined> {
  const missing: string[] = [];
  for (const name of Object.keys(TOOLS)) {
    if (!(await findOnPath(name, context.environment))) missing.push(name);
  }
  if (missing.length === 0) return undefined;
  const packages = new Map(missing.flatMap((name) => TOOLS[name] ?? []).map((each) => [each.name, each]));
  const root = await installDebian(`tools-${missing.join('-')}`, [...packages.values()], context, {
    remedy: `Install ${missing.join(', ')} so that they are on the PATH; without them, tests that need them are skipped.`,
    async finish(half) {
      await mkdir(join(half, 'wrappers'));
      for (const name of missing)
        await writeFile(join(half, 'wrappers', name), wrapper(name), { mode: 0o755 });
    },
  });
  return join(root, 'wrappers');
}

/** A script that runs a program of an unpacked folder with its libraries. */
function wrapper(name: string): string {
  const libraries = LIBRARIES.map((path) => `$root/${path}`).join(':');
  return `#!/bin/sh\nroot=$(dirname "$0")/..\nLD_LIBRARY_PATH="${libraries}" exec "$root/usr/bin/${name}" "$@"\n`;
}

/** The folder of libgomp, which a server module links, if the system lacks it. Throws LocalStackError. */
export async function installLibgomp(context: InstallContext): Promise<string | undefined> {
  if (SYSTEM_LIBRARIES.some((folder) => existsSync(join(folder, 'libgomp.so.1')))) return undefined;
  const remedy = 'Install libgomp, the OpenMP library of GNU.';
  const root = await installDebian('libgomp1', [LIBGOMP], context, { remedy });
  return join(root, 'usr/lib/x86_64-linux-gnu');
}
