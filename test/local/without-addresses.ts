/** The environment without the addresses of the test servers: a stack started with it has its own servers. */
export function withoutAddresses(): NodeJS.ProcessEnv {
  const { NEO4J_URI, QDRANT_URL, REDIS_URL, POSTGRES_URL, AWS_ENDPOINT_URL, ...rest } = process.env;
  return rest;
}
