/**
 * The archive compared with common tools: `node --disable-warning=ExperimentalWarning bench/archive.ts
 * [--mebibytes 1024] [--sizes 100,1000] [--rounds 2] [--only throughput]`. Needs pigz, zstd, tar and Python 3, and
 * uses versitygw if Go is installed. The data is text from the installed npm packages. Rounds alternate, and the best
 * is reported. Prints ratios of one run on one machine; absolute figures vary more between runs than ratios.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createWriteStream, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import Table from 'cli-table3';
import { build } from 'esbuild';
import prettyBytes from 'pretty-bytes';
import { NODE_BUNDLE, REQUIRE } from '../infra/bundle.ts';
import { PROCESS_SETTINGS } from '../infra/process-settings.ts';
import { composeArchive } from '../shared/archive/write/compose.ts';
import { uploadSegment } from '../shared/archive/write/segment-store.ts';
import { S3_SERVERS } from '../test/archive/s3-servers.ts';

const run = promisify(execFile);
const MiB = 1024 ** 2;
/** Size of the files with the text. */
const FILE_BYTES = 8 * MiB;
const CORES = 2;

const { values } = parseArgs({
  options: {
    mebibytes: { type: 'string', default: '1024' },
    sizes: { type: 'string', default: '100,1000' },
    rounds: { type: 'string', default: '2' },
    only: { type: 'string' },
  },
});
const root = resolve(import.meta.dirname, '..');
const folder = mkdtempSync(join(tmpdir(), 'ngbak-bench-archive-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));

/** Bundled like the functions and the command line, so that no TypeScript is loaded at the start. */
const script = join(folder, 'archive-step.mjs');
await build({
  ...NODE_BUNDLE,
  entryPoints: [join(root, 'bench/archive-step.ts')],
  outfile: script,
  target: 'node24',
  banner: { js: REQUIRE },
});

interface Step {
  readonly seconds: number;
  readonly peak_bytes: number;
  readonly bytes: number;
  readonly bytes_read: number;
}

async function step(...args: string[]): Promise<Step> {
  const env = { ...process.env, ...PROCESS_SETTINGS };
  const { stdout } = await run(process.execPath, [script, ...args], { env });
  return JSON.parse(stdout);
}

/** Wall time, and CPU time of all processors together, in seconds. */
interface Cost {
  readonly clock: number;
  readonly cpu: number;
}

/** The cost of a shell command, including the start of its programs. */
async function shell(line: string): Promise<Cost> {
  const { stderr } = await run('bash', ['-o', 'pipefail', '-c', `TIMEFORMAT='%R %U %S'; time { ${line}; }`]);
  const [clock = 0, user = 0, system = 0] = (stderr.trim().split('\n').at(-1) ?? '').split(' ').map(Number);
  return { clock, cpu: user + system };
}

const cheaper = (one: Cost | undefined, other: Cost): Cost => ({
  clock: Math.min(one?.clock ?? Number.POSITIVE_INFINITY, other.clock),
  cpu: Math.min(one?.cpu ?? Number.POSITIVE_INFINITY, other.cpu),
});

function show(title: string, head: string[], rows: (string | number)[][]): void {
  const table = new Table({ head, style: { head: [], border: [] } });
  table.push(...rows);
  process.stdout.write(`\n${title}\n${table.toString()}\n`);
}

/** Text of the installed packages, in files of 8 MiB. */
async function collectText(wanted: number): Promise<{ text: string; bytes: number }> {
  const text = join(folder, 'text');
  mkdirSync(text);
  let bytes = 0;
  let file = createWriteStream(join(text, '00000.jsonl'));
  let inFile = 0;
  let files = 1;
  const close = () => new Promise<void>((done) => file.end(done));
  const paths = globSync('node_modules/**/*.{js,cjs,mjs,ts,json,md}', { cwd: root })
    .map((path) => join(root, path))
    .filter((path) => statSync(path).isFile());
  // Repeats the text if there is too little: the copies are hundreds of MB apart, beyond the window of any codec.
  for (let at = 0; bytes < wanted; at = (at + 1) % paths.length) {
    const full = paths[at] ?? '';
    const content = readFileSync(full);
    file.write(content);
    bytes += content.length;
    inFile += content.length;
    if (inFile >= FILE_BYTES) {
      await close();
      file = createWriteStream(join(text, `${String(files++).padStart(5, '0')}.jsonl`));
      inFile = 0;
    }
  }
  await close();
  return { text, bytes };
}

async function benchThroughput(): Promise<void> {
  const { text, bytes } = await collectText(Number(values.mebibytes) * MiB);
  const out = (name: string) => join(folder, name);
  const tar = `tar -C ${text} -c .`;
  const python = (mode: string) =>
    `python3 -c "import tarfile; t = tarfile.open('${out('python.tgz')}', '${mode}'); ${
      mode.startsWith('w') ? `t.add('${text}', '.')` : '[t.extractfile(m).read() for m in t if m.isfile()]'
    }; t.close()"`;
  const runNgbak = (...args: string[]) => shell(`'${process.execPath}' ${script} ${args.join(' ')}`);
  const works: Record<string, { write(): Promise<Cost>; read(): Promise<Cost>; file: string }> = {};
  for (const [codec, level] of [
    ['gzip', 6],
    ['gzip', 1],
    ['zstd', 3],
  ] as const) {
    const file = out(`ngbak-${codec}-${level}`);
    works[`ngbak ${codec} -${level}`] = {
      file,
      write: () => runNgbak('write', text, file, codec, String(level)),
      read: () => runNgbak('verify', file),
    };
  }
  for (const level of [6, 1]) {
    const file = out(`pigz-${level}`);
    works[`tar | pigz -${level} -p ${CORES}`] = {
      file,
      write: () => shell(`${tar} | pigz -${level} -p ${CORES} > ${file}`),
      read: () => shell(`pigz -dc -p ${CORES} ${file} | tar -xO | sha256sum`),
    };
  }
  works[`tar | zstd -3 -T${CORES}`] = {
    file: out('zstd'),
    write: () => shell(`${tar} | zstd -q -f -3 -T${CORES} -o ${out('zstd')}`),
    read: () => shell(`zstd -dc ${out('zstd')} | tar -xO | sha256sum`),
  };
  works['Python tarfile, its default (gzip -9)'] = {
    file: out('python.tgz'),
    write: () => shell(python('w:gz')),
    read: () => shell(python('r:gz')),
  };
  const best = new Map<string, { write: Cost; read: Cost; bytes: number }>();
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const [name, work] of Object.entries(works)) {
      const before = best.get(name);
      const write = cheaper(before?.write, await work.write());
      const read = cheaper(before?.read, await work.read());
      best.set(name, { write, read, bytes: statSync(work.file).size });
    }
  }
  const rate = ({ clock, cpu }: Cost) =>
    `${(bytes / 1e6 / clock).toFixed(0)} MB/s, ${(bytes / 1e6 / cpu).toFixed(0)} MB for 1 s of CPU`;
  const rows = [...best].map(([name, { write, read, bytes: size }]) => [
    name,
    rate(write),
    rate(read),
    (bytes / size).toFixed(2),
  ]);
  show(
    `Throughput, ${prettyBytes(bytes)} of text on ${CORES} cores`,
    ['', 'write', 'read, with digests', 'shrinks by'],
    rows,
  );
  const ratio = (one: string, other: string) => {
    const [a, b] = [best.get(one), best.get(other)];
    if (!a || !b) throw new Error('no such work');
    return (['write', 'read'] as const).flatMap((way) =>
      (['clock', 'cpu'] as const).map((cost) => (b[way][cost] / a[way][cost]).toFixed(2)),
    );
  };
  show(
    'ngbak beside the others at the same level, beside Python at the default of each: times as fast, by the clock and in CPU time',
    ['', 'write', 'CPU', 'read', 'CPU'],
    [
      ['pigz -6 (wanted: 1)', ...ratio('ngbak gzip -6', `tar | pigz -6 -p ${CORES}`)],
      ['pigz -1 (wanted: 1)', ...ratio('ngbak gzip -1', `tar | pigz -1 -p ${CORES}`)],
      ['zstd -3 (wanted: 0.7)', ...ratio('ngbak zstd -3', `tar | zstd -3 -T${CORES}`)],
      ['Python tarfile (wanted: 5)', ...ratio('ngbak gzip -6', 'Python tarfile, its default (gzip -9)')],
    ],
  );
}

async function larger(work: () => Promise<Step>): Promise<Step> {
  const [one, other] = [await work(), await work()];
  return one.peak_bytes > other.peak_bytes ? one : other;
}

async function benchSizes(): Promise<void> {
  const rows: string[][] = [];
  let first: { write: Step; verify: Step } | undefined;
  for (const size of values.sizes.split(',')) {
    const file = join(folder, `${size}.ngbak`);
    // The larger peak of two runs: one may happen to be measured just after a garbage collection.
    const [write, verify] = [
      await larger(() => step('generate', size, file, 'gzip', '1')),
      await larger(() => step('verify', file)),
    ];
    const open = await step('open', file, 'kv/small.json');
    first ??= { write, verify };
    const comparison = (one: Step, other: Step) =>
      `${prettyBytes(one.peak_bytes)} (×${(one.peak_bytes / other.peak_bytes).toFixed(2)})`;
    rows.push([
      `${size} MiB`,
      comparison(write, first.write),
      comparison(verify, first.verify),
      `${prettyBytes(open.bytes_read)} of ${prettyBytes(open.bytes)} (${((open.bytes_read / open.bytes) * 100).toFixed(4)} %)`,
    ]);
    rmSync(file);
  }
  show(
    'Peak memory (wanted: within 10 %), and what is read for the manifest and one small entry (below 0.1 % of 10 GB)',
    ['data', 'writing', 'verifying', 'read to open'],
    rows,
  );
}

async function benchComposition(): Promise<void> {
  const versitygw = S3_SERVERS.find(({ name }) => name === 'versitygw');
  if (versitygw?.missing !== undefined) {
    process.stdout.write(`\nNo composition: ${versitygw.missing}.\n`);
    return;
  }
  if (!versitygw) throw new Error('versitygw is not among the S3 servers.');
  const server = await versitygw.start();
  const rows: string[][] = [];
  try {
    for (const segments of [1, 10, 100]) {
      const { s3, bucket } = await server.bucket();
      // Incompressible, so that segments are large enough to be copied within S3.
      const data = randomBytes(8 * MiB);
      for (let number = 0; number < segments; number++) {
        await uploadSegment({
          s3,
          bucket,
          prefix: 'staging/b/segments/',
          name: String(number).padStart(6, '0'),
          pieces: (async function* () {
            yield {
              name: `vectors/${number}`,
              size: data.length,
              offset: 0,
              length: data.length,
              data: [data],
            };
          })(),
          carry: null,
          codec: 'gzip',
          level: 1,
          tallies: () => ({}),
        });
      }
      const requests = new Map<string, number>();
      s3.middlewareStack.add(
        (next, context) => (args) => {
          const name = context.commandName?.replace('Command', '') ?? '';
          requests.set(name, (requests.get(name) ?? 0) + 1);
          return next(args);
        },
        { step: 'finalizeRequest' },
      );
      const began = performance.now();
      const { archive } = await composeArchive({
        s3,
        bucket,
        segments: 'staging/b/segments/',
        work: 'staging/b/compose/',
        key: 'backups/b.ngbak',
        owner: 'bench',
        codec: 'gzip',
        manifest: {
          backup_id: 'bench',
          created_at: '2026-01-01T00:00:00Z',
          storage_backends: {},
          statistics: {},
          scope: { type: 'full', stores: [] },
          tallies: {},
          tags: [],
        },
        cursor: null,
        timeLeft: () => 600_000,
        signal: new AbortController().signal,
      });
      rows.push([
        String(segments),
        prettyBytes(archive?.size ?? 0),
        `${((performance.now() - began) / 1000).toFixed(2)} s`,
        [...requests].map(([name, count]) => `${count} ${name}`).join(', '),
      ]);
    }
  } finally {
    await server.stop();
  }
  show('Composition on versitygw', ['segments', 'archive', 'time', 'requests'], rows);
}

const BENCHES = { throughput: benchThroughput, sizes: benchSizes, composition: benchComposition };
for (const [name, bench] of Object.entries(BENCHES)) {
  if ((values.only ?? name) === name) await bench();
}
