import type { ServiceName } from '../services/service.ts';
import { type Stack, startStack } from '../stack.ts';
import { alignColumns } from './screen.ts';
import type { StepOptions } from './system.ts';

const NAMES: Readonly<Record<ServiceName, string>> = {
  neo4j: 'Neo4j',
  qdrant: 'Qdrant',
  redis: 'Redis',
  postgres: 'PostgreSQL',
  aws: 'AWS',
};

/** Starts servers, each on free ports and with its own password, and shows their addresses. */
export async function startServers<S extends ServiceName>(
  services: readonly S[],
  { name, view, signal }: StepOptions & { readonly name: string | undefined },
): Promise<Stack<S>> {
  const states = new Map<string, string>();
  const stack = await startStack<S>({
    services,
    ...(name === undefined ? {} : { name }),
    signal,
    onProgress: ({ service, text }) => {
      states.set(service, text);
      view.live(alignColumns([...states], 2));
      view.log(`${service}: ${text}`);
    },
  });
  const rows = services.map((service) => {
    const address: { uri?: string; url?: string; endpoint?: string } = stack[service];
    return [NAMES[service], address.uri ?? address.url ?? address.endpoint ?? ''];
  });
  for (const line of alignColumns(rows, 2)) view.line(line);
  return stack;
}
