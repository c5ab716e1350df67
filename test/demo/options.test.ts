import { describe, expect, it } from '@jest/globals';
import { readOptions } from '../../local/demo/options.ts';

describe('the command line of the demo', () => {
  it('needs no arguments', () => {
    expect(readOptions([])).toEqual({ keep: false, scale: 1, name: undefined, json: false, help: false });
  });

  it('accepts a scale, a name, --keep and --json', () => {
    expect(readOptions(['--keep', '--scale', '10', '--name=mine', '--json'])).toEqual({
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

  it.each([['--kep'], ['extra'], ['--scale']])('refuses %s', (argument) => {
    expect(() => readOptions([argument])).toThrow(
      expect.objectContaining({ name: 'InvalidInputError', remedy: 'See npm run demo -- --help.' }),
    );
  });
});
