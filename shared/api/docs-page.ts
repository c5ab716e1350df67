interface Operation {
  readonly summary?: string;
  readonly description?: string;
  readonly parameters?: readonly { name?: string; in?: string; required?: boolean; schema?: unknown }[];
  readonly requestBody?: unknown;
  readonly responses?: Record<string, { description?: string }>;
}

/** A page that shows an OpenAPI document to people: plain HTML, no script, nothing loaded from elsewhere. */
export function docsPage(document: { info: { title: string; version: string }; paths?: object }): string {
  const operations = Object.entries(document.paths ?? {}).flatMap(([path, methods]) =>
    Object.entries(methods as Record<string, Operation>).map(([method, operation]) =>
      operationText(method, path, operation),
    ),
  );
  const title = `${document.info.title} ${document.info.version}`;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${html(title)}</title>
<style>body{font:16px/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}
pre{background:#f4f4f4;padding:.7rem;overflow:auto;font-size:.85rem}h2{font-size:1.05rem;margin-top:2rem}
td{padding:.1rem 1rem .1rem 0;vertical-align:top}code{font-weight:600}</style></head>
<body><h1>${html(title)}</h1>
<p>Send <code>Authorization: Bearer &lt;key&gt;</code>. The machine-readable text is <a href="openapi.json">openapi.json</a>.</p>
${operations.join('\n')}
</body></html>
`;
}

function operationText(method: string, path: string, operation: Operation): string {
  const parameters = (operation.parameters ?? []).map(
    ({ name = '', in: where = '', required, schema }) =>
      `<tr><td><code>${html(name)}</code></td><td>${html(where)}${required ? ', required' : ''}</td><td>${html(JSON.stringify(schema ?? {}))}</td></tr>`,
  );
  const responses = Object.entries(operation.responses ?? {})
    .filter(([status]) => Number(status) < 400)
    .map(
      ([status, { description = '' }]) =>
        `<tr><td><code>${html(status)}</code></td><td>${html(description)}</td></tr>`,
    );
  return `<section><h2><code>${html(method.toUpperCase())} ${html(path)}</code></h2>
<p>${html(operation.summary ?? '')}${operation.description ? `. ${html(operation.description)}` : ''}</p>
<table>${parameters.join('')}</table>
${operation.requestBody === undefined ? '' : `<pre>${html(JSON.stringify(operation.requestBody, null, 1))}</pre>`}
<table>${responses.join('')}</table></section>`;
}

function html(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
