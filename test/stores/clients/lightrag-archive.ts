import type { FormName } from '../../../shared/profiles/forms/form.ts';
import { profileScopes } from '../../../shared/profiles/profiles.ts';
import type { Store } from '../../../shared/stores/store.ts';
import { buildArchive, DRAFT } from '../../archive/build.ts';
import { exportAll } from '../memory-archive.ts';

/** A backup of the key-value data of one workspace of LightRAG, with the manifest of a backup. */
export async function archiveOf(
  kind: FormName,
  workspace: string,
  opener: (scope: unknown) => () => Store,
): Promise<Buffer> {
  const parameters = { workspace };
  const scope = profileScopes('lightrag', parameters, kind).kv;
  const { archive, tallies } = await exportAll(opener(scope));
  const contents = archive
    .names()
    .map((name) => ({ name, data: archive.files.get(name) ?? Buffer.alloc(0) }));
  return buildArchive(contents, {
    draft: {
      ...DRAFT,
      storage_backends: { kv: { kind } },
      tallies: { kv: tallies },
      scope: {
        ...{ type: 'full', stores: ['kv'], target: 'default', profile: 'lightrag', parameters },
        scopes: { kv: JSON.parse(JSON.stringify(scope)) },
      },
    },
  });
}
