import { join } from 'node:path';
import { defineConfig } from 'vite';

/** Builds the dashboard into static files with hashes in their names; called by build.ts. */
export default defineConfig({
  root: import.meta.dirname,
  // Relative to any path: the API may have a stage in its address.
  base: './',
  // `NGBAK_API_URL=… npx vite dashboard` shows changes immediately, with the data of that deployment.
  server: {
    proxy: process.env.NGBAK_API_URL
      ? { '/api/v1/': { target: process.env.NGBAK_API_URL, changeOrigin: true } }
      : {},
  },
  build: {
    outDir: join(import.meta.dirname, '..', 'dist', 'dashboard'),
    emptyOutDir: true,
    target: 'es2023',
    // An inlined file would need `data:` in the content security policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    // One chunk of Cloudscape is larger than Vite's warning limit; build.ts prints the relevant sizes.
    chunkSizeWarningLimit: 4000,
    license: { fileName: 'licenses.txt' },
    rolldownOptions: {
      onLog(level, log, handler) {
        // "use client" is for server-side rendering, which is not used here.
        if (log.code !== 'MODULE_LEVEL_DIRECTIVE') handler(level, log);
      },
    },
  },
});
