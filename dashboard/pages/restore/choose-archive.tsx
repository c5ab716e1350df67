import Box from '@cloudscape-design/components/box';
import Button from '@cloudscape-design/components/button';
import Container from '@cloudscape-design/components/container';
import FormField from '@cloudscape-design/components/form-field';
import Header from '@cloudscape-design/components/header';
import Select from '@cloudscape-design/components/select';
import SpaceBetween from '@cloudscape-design/components/space-between';
import Tiles from '@cloudscape-design/components/tiles';
import { useRef, useState } from 'react';
import type { ThawTier } from '../../../shared/core/storage-class.ts';
import { useNotices } from '../../notices.tsx';
import { blocked } from '../../parts/blocked.ts';
import { NoTargets, Show } from '../../parts/states.tsx';
import { href, navigate } from '../../router.ts';
import { useSession } from '../../session.tsx';
import { startUpload } from '../../upload/running.ts';
import { useData } from '../../use-data.ts';
import { BackupChoice } from './backup-choice.tsx';
import { FileChoice } from './file-choice.tsx';
import { WizardFrame } from './frame.tsx';
import { ThawChoice } from './thaw-choice.tsx';

/** First step: the archive and its target. Everything except the file itself is in the address. */
export function ChooseArchive({ query }: { query: URLSearchParams }) {
  const { api, refusal } = useSession();
  const { fail } = useNotices();
  const deployment = useData('deployment', api.deployment);
  const [file, setFile] = useState<File>();
  const [busy, setBusy] = useState(false);
  const [thaw, setThaw] = useState<{ of: string; tier: ThawTier }>();
  const fromFile = query.get('from') === 'file';
  const backup = query.get('backup') ?? undefined;
  const target = query.get('target') ?? undefined;
  const tier = thaw?.of === backup ? thaw?.tier : undefined;
  // One key for each choice: a second click, or a retry after a lost response, starts no second job.
  const key = useRef({ of: '', key: '' });
  const selection = JSON.stringify([
    fromFile,
    backup,
    target,
    tier,
    file?.name,
    file?.size,
    file?.lastModified,
  ]);
  if (key.current.of !== selection) key.current = { of: selection, key: crypto.randomUUID() };

  const go = (changed: Record<string, string | undefined>) => {
    const next = { from: fromFile ? 'file' : undefined, backup, target, ...changed };
    const kept = Object.entries(next).filter((entry): entry is [string, string] => entry[1] !== undefined);
    navigate(href(['restore'], Object.fromEntries(kept)), { replace: true });
  };
  const begin = async (into: string | undefined) => {
    setBusy(true);
    try {
      const where = into === undefined ? {} : { target: into };
      if (fromFile && file) {
        const request = await api.restore(
          { file_name: file.name, bytes: file.size, upload: 'multipart', ...where },
          key.current.key,
        );
        if (!('multipart' in request)) throw new TypeError('the upload has no parts');
        startUpload(request.job_id, file, request.multipart.part_bytes, api);
        navigate(href(['restore', request.job_id]), { replace: true });
      } else if (backup !== undefined) {
        const { job_id } = await api.restore(
          { backup_id: backup, ...where, ...(tier === undefined ? {} : { thaw: { tier } }) },
          key.current.key,
        );
        navigate(href(['restore', job_id]), { replace: true });
      }
    } catch (error) {
      fail('The restore could not be started', error);
      setBusy(false);
    }
  };
  const why =
    refusal('restore') ??
    (fromFile && !file
      ? 'Choose a file first.'
      : !fromFile && !backup
        ? 'Choose a backup first.'
        : undefined);
  return (
    <WizardFrame step="Archive" upload={fromFile} title="Restore">
      <Show loaded={deployment} what="the targets">
        {({ targets, upload }) => {
          if (targets.length === 0) return <NoTargets />;
          const only = targets.length === 1 ? targets[0]?.name : undefined;
          const asBackedUp = { value: '', label: 'The target of the backup' };
          const options = [
            ...(fromFile ? [] : [asBackedUp]),
            ...targets.map(({ name, profile }) => ({
              value: name,
              label: name,
              description: `profile ${profile}`,
            })),
          ];
          const chosen = target ?? (fromFile ? only : '');
          const missing = fromFile && chosen === undefined ? 'Choose a target first.' : undefined;
          const reason = why ?? missing;
          return (
            <SpaceBetween size="l">
              <Tiles
                ariaLabel="Archive source"
                value={fromFile ? 'file' : 'backup'}
                onChange={({ detail }) => go({ from: detail.value === 'file' ? 'file' : undefined })}
                items={[
                  {
                    value: 'backup',
                    label: 'Catalog',
                    description: 'A backup of this deployment',
                  },
                  {
                    value: 'file',
                    label: 'File',
                    description: 'An archive on this computer, uploaded directly to S3',
                  },
                ]}
              />
              {fromFile ? (
                <Container header={<Header variant="h2">File</Header>}>
                  <FileChoice file={file} maxBytes={upload.max_bytes} onChoose={setFile} />
                </Container>
              ) : (
                <BackupChoice chosen={backup} onChoose={(id) => go({ backup: id })} />
              )}
              {!fromFile && backup !== undefined && (
                <ThawChoice
                  backup={backup}
                  tier={tier}
                  onChoose={(chosen) => setThaw({ of: backup, tier: chosen })}
                />
              )}
              <Container header={<Header variant="h2">Destination</Header>}>
                <FormField
                  label="Restore into"
                  description="Targets are configured by an administrator. A request can’t name a server."
                >
                  <Select
                    selectedOption={options.find(({ value }) => value === chosen) ?? null}
                    placeholder="Choose a target"
                    options={options}
                    onChange={({ detail }) => go({ target: detail.selectedOption.value || undefined })}
                  />
                </FormField>
              </Container>
              <Box float="right">
                <Button
                  variant="primary"
                  loading={busy}
                  loadingText="Starting"
                  {...blocked(reason)}
                  onClick={() => begin(chosen || undefined)}
                >
                  {fromFile ? 'Upload and inspect' : 'Inspect'}
                </Button>
              </Box>
            </SpaceBetween>
          );
        }}
      </Show>
    </WizardFrame>
  );
}
