import pc from '../../shared/core/colors.ts';
import { InvalidInputError } from '../../shared/core/errors.ts';
import { loadKnowledgeBase } from './load.ts';

/**
 * `node local/knowledge-base/main.ts [--scale N] [--namespace NAME]`: fills the stores configured in the environment.
 */
function option(name: string, fallback: string): string {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? fallback : (process.argv[at + 1] ?? fallback);
}

function variable(name: string): string {
  const value = process.env[name];
  if (value) return value;
  throw new InvalidInputError(`${name} is not set.`, {
    remedy: 'Start a stack with "npm run local:up" and set what it prints.',
  });
}

const started = Date.now();
const counts = await loadKnowledgeBase({
  neo4j: {
    uri: variable('NEO4J_URI'),
    username: process.env.NEO4J_USERNAME ?? 'neo4j',
    password: variable('NEO4J_PASSWORD'),
  },
  qdrant: { url: variable('QDRANT_URL'), api_key: process.env.QDRANT_API_KEY },
  redis: { url: variable('REDIS_URL') },
  namespace: option('namespace', 'demo'),
  scale: Number(option('scale', '1')),
});
for (const [name, count] of Object.entries(counts)) {
  console.log(`${name.padEnd(16)}${count.toLocaleString('en').padStart(12)}`);
}
const seconds = ((Date.now() - started) / 1000).toFixed(1);
const megabytes = Math.round(process.resourceUsage().maxRSS / 1024);
console.log(pc.dim(`in ${seconds} s, with at most ${megabytes} MB of memory`));
