import { parseArgs } from 'node:util';
import { InvalidInputError } from '../../shared/core/errors.ts';
import { DEFAULT_SYSTEM, SUMMARIES, type SystemName } from './system-names.ts';

/** Largest scale: its archive has about 300 MB, and the emulator keeps several copies of it in memory. */
const SCALE_MAX = 50;

export interface DemoOptions {
  readonly system: SystemName;
  readonly keep: boolean;
  readonly scale: number;
  /** Name of the local stack. If omitted: a separate stack. */
  readonly name: string | undefined;
  readonly json: boolean;
  readonly help: boolean;
}

export const HELP = `npm run demo [-- OPTIONS]

Builds a knowledge base of the installed npm packages in the real stores of a GraphRAG system, backs it up into S3
through Step Functions, destroys it, uploads the archive to a presigned URL, and proves that everything is back.

  --system S   the system (default: ${DEFAULT_SYSTEM}):
${Object.entries(SUMMARIES)
  .map(([name, summary]) => `                 ${name.padEnd(12)} ${summary}`)
  .join('\n')}
  --scale N    N copies of the knowledge base, 1 to ${SCALE_MAX} (1: about 1,500 entities)
  --keep       leave everything running, and print the next steps
  --name NAME  name of the local stack
  --json       one JSON object on stdout at the end; all other output on stderr
  --help       this text
`;

/** Reads the command line. Throws InvalidInputError that lists the allowed values. */
export function readOptions(argv: readonly string[]): DemoOptions {
  const remedy = 'See npm run demo -- --help.';
  let values: ReturnType<typeof parse>;
  try {
    values = parse(argv);
  } catch (cause) {
    throw new InvalidInputError(cause instanceof Error ? cause.message : String(cause), { remedy });
  }
  const scale = Number(values.scale);
  if (!Number.isInteger(scale) || scale < 1 || scale > SCALE_MAX) {
    throw new InvalidInputError(`--scale is "${values.scale}".`, {
      remedy: `Give a whole number from 1 to ${SCALE_MAX}.`,
    });
  }
  if (!Object.hasOwn(SUMMARIES, values.system)) {
    throw new InvalidInputError(`There is no system "${values.system}".`, {
      remedy: `Give one of ${Object.keys(SUMMARIES).join(', ')}.`,
    });
  }
  const system = values.system as SystemName;
  return { system, keep: values.keep, scale, name: values.name, json: values.json, help: values.help };
}

function parse(argv: readonly string[]) {
  return parseArgs({
    args: [...argv],
    options: {
      keep: { type: 'boolean', default: false },
      scale: { type: 'string', default: '1' },
      system: { type: 'string', default: DEFAULT_SYSTEM },
      name: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  }).values;
}
