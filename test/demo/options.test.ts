import { describe, expect, it } from '@jest/globals';
import { HELP, readOptions } from '../../local/demo/options.ts';

describe('the command line of the demo', () => {
  it('needs no arguments', () => {
    expect(readOptions([])).toEqual({
      system: 'ngraf-023',
      keep: false,
      scale: 1,
      name: undefined,
      json: false,
      help: false,
    });
  });

  it('accepts a system, a scale, a name, --keep and --json', () => {
    const args = ['--system', 'lightrag-pg', '--keep', '--scale', '10', '--name=mine', '--json'];
    expect(readOptions(args)).toEqual({
      system: 'lightrag-pg',
      keep: true,
      scale: 10,
      name: 'mine',
      json: true,
      help: false,
    });
  });

  it.each(['0', '-1', '1.5', '51', 'many', ''])(
    'refuses --scale "%s" and states what is allowed',
    (scale) => {
      expect(() => readOptions([`--scale=${scale}`])).toThrow(
        expect.objectContaining({ name: 'InvalidInputError', remedy: 'Give a whole number from 1 to 50.' }),
      );
    },
  );

  it.each(['lightrag', 'toString', ''])('refuses --system "%s" and names those that there are', (system) => {
    expect(() => readOptions([`--system=${system}`])).toThrow(
      expect.objectContaining({
        name: 'InvalidInputError',
        remedy: 'Give one of ngraf-023, lightrag-pg, ms-graphrag.',
      }),
    );
  });

  it('explains every system in its help, within 120 columns', () => {
    for (const name of ['ngraf-023', 'lightrag-pg', 'ms-graphrag']) expect(HELP).toContain(`${name} `);
    expect(Math.max(...HELP.split('\n').map((line) => line.length))).toBeLessThanOrEqual(120);
  });

  it.each([['--kep'], ['extra'], ['--scale']])('refuses %s', (argument) => {
    expect(() => readOptions([argument])).toThrow(
      expect.objectContaining({ name: 'InvalidInputError', remedy: 'See npm run demo -- --help.' }),
    );
  });
});
