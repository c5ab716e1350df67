import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';

interface LockedPackage {
  readonly version?: string;
  readonly resolved?: string;
  readonly integrity?: string;
  readonly inBundle?: boolean;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const { packages } = JSON.parse(readFileSync(new URL('../package-lock.json', import.meta.url), 'utf8')) as {
  packages: Record<string, LockedPackage>;
};

/** The paths where npm searches for `name` when the package at `path` requires it: from the package outwards. */
function locations(path: string, name: string): string[] {
  const parents = path.split('/node_modules/').map((_, index, parts) => parts.slice(0, index + 1));
  return [
    ...parents.map((parts) => `${parts.join('/node_modules/')}/node_modules/${name}`),
    `node_modules/${name}`,
  ];
}

test('the lock file contains the optional packages of every platform, without which npm 11 refuses `npm ci`', () => {
  const missing = Object.entries(packages).flatMap(([path, { optionalDependencies = {}, inBundle }]) =>
    inBundle
      ? []
      : Object.keys(optionalDependencies).filter((name) =>
          locations(path, name).every((location) => packages[location] === undefined),
        ),
  );
  expect(missing).toEqual([]);
});

test('the lock file pins every package by its hash, and names no registry but the public one', () => {
  const installed = Object.entries(packages).filter(([path, { inBundle }]) => path !== '' && !inBundle);
  expect(
    installed.filter(([, { integrity }]) => !integrity?.startsWith('sha512-')).map(([path]) => path),
  ).toEqual([]);
  const hosts = installed.flatMap(([, { resolved }]) =>
    resolved === undefined ? [] : [new URL(resolved).host],
  );
  expect([...new Set(hosts)].filter((host) => host !== 'registry.npmjs.org')).toEqual([]);
});
