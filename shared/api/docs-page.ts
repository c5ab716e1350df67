import { html, raw } from 'hono/html';

interface Operation {
  readonly summary?: string;
  readonly description?: string;
  readonly parameters?: readonly { name?: string; in?: string; required?: boolean; schema?: unknown }[];
  readonly requestBody?: unknown;
  readonly responses?: Record<string, { description?: string }>;
}

type Html = ReturnType<typeof html>;

const STYLE = raw(`body{font:16px/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}
pre{background:#f4f4f4;padding:.7rem;overflow:auto;font-size:.85rem}h2{font-size:1.05rem;margin-top:2rem}
td{padding:.1rem 1rem .1rem 0;vertical-align:top}code{font-weight:600}`);

/** Renders an OpenAPI document as a page: plain HTML, without scripts and without resources from other hosts. */
export async function docsPage(document: {
  info: { title: string; version: string };
  paths?: object;
}): Promise<string> {
  const operations = Object.entries(document.paths ?? {}).flatMap(([path, methods]) =>
    Object.entries(methods as Record<string, Operation>).map(([method, operation]) =>
      operationText(method, path, operation),
    ),
  );
  const title = `${document.info.title} ${document.info.version}`;
  const page = await html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${title}</title>
<style>${STYLE}</style></head>
<body><h1>${title}</h1>
<p>Send <code>Authorization: Bearer &lt;key&gt;</code>. The machine-readable document is <a href="openapi.json">openapi.json</a>.</p>
${operations}
</body></html>
`;
  return page.toString();
}

function operationText(method: string, path: string, operation: Operation): Html {
  const parameters = (operation.parameters ?? []).map(
    ({ name = '', in: where = '', required, schema }) =>
      html`<tr><td><code>${name}</code></td><td>${where}${required ? ', required' : ''}</td><td>${JSON.stringify(schema ?? {})}</td></tr>`,
  );
  const responses = Object.entries(operation.responses ?? {})
    .filter(([status]) => Number(status) < 400)
    .map(
      ([status, { description = '' }]) =>
        html`<tr><td><code>${status}</code></td><td>${description}</td></tr>`,
    );
  return html`<section><h2><code>${method.toUpperCase()} ${path}</code></h2>
<p>${operation.summary ?? ''}${operation.description ? `. ${operation.description}` : ''}</p>
<table>${parameters}</table>
${operation.requestBody === undefined ? '' : html`<pre>${JSON.stringify(operation.requestBody, null, 1)}</pre>`}
<table>${responses}</table></section>
`;
}
