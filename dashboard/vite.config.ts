import { join } from 'node:path';
import { defineConfig } from 'vite';

/** Builds the dashboard into static files with hashes in their names; build.ts calls it. */
export default defineConfig({
  root: import.meta.dirname,
  // Below any path: the API may have a stage in its address.
  base: './',
  // `NGBAK_API_URL=… npx vite dashboard` shows changes as they are made, with the data of that deployment.
  server: {
    proxy: process.env.NGBAK_API_URL
      ? { '/api/v1/': { target: process.env.NGBAK_API_URL, changeOrigin: true } }
      : {},
  },
  build: {
    outDir: join(import.meta.dirname, '..', 'dist', 'dashboard'),
    emptyOutDir: true,
    target: 'es2023',
    // A file inside another one would need `data:` in the content security policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    // One chunk of Cloudscape's is larger than what Vite likes to see; what counts is printed by build.ts.
    chunkSizeWarningLimit: 4000,
    license: { fileName: 'licenses.txt' },
    rolldownOptions: {
      onLog(level, log, handler) {
        // "use client" is for servers that render pages, which nobody does here.
        if (log.code !== 'MODULE_LEVEL_DIRECTIVE') handler(level, log);
      },
    },
  },
});
