import Box from '@cloudscape-design/components/box';
import Button from '@cloudscape-design/components/button';
import RadioGroup from '@cloudscape-design/components/radio-group';
import SpaceBetween from '@cloudscape-design/components/space-between';
import StatusIndicator from '@cloudscape-design/components/status-indicator';
import { useState } from 'react';
import { offerText, usdText } from '../../shared/core/cost-text.ts';
import type { BackupView } from '../../shared/operations/show-backup.ts';
import { useNotices } from '../notices.tsx';
import { blocked } from '../parts/blocked.ts';
import { Command } from '../parts/command.tsx';
import { Question } from '../parts/question.tsx';
import { Time } from '../parts/time.tsx';
import { useSession } from '../session.tsx';

type Storage = NonNullable<BackupView['storage']>;

/** In which storage class an archive is, since when, whether it can be read, and what deleting it would cost. */
export function StorageFacts({ storage }: { storage: Storage }) {
  const { storage_class, since, minimum } = storage;
  return (
    <SpaceBetween size="xxs">
      <span>
        {storage_class}
        {since !== undefined && (
          <>
            {' '}
            since <Time value={since} />
          </>
        )}
      </span>
      <ReadableSign storage={storage} />
      {minimum && (
        <Box fontSize="body-s" color="text-body-secondary">
          Billed until <Time value={minimum.until} /> at least; deleted now, {usdText(minimum.usd)} of this is
          for nothing (estimate).
        </Box>
      )}
    </SpaceBetween>
  );
}

/** Whether an archive can be read. Nothing if it always can. */
export function ReadableSign({
  storage: { state, readable_until },
}: {
  storage: Pick<Storage, 'state' | 'readable_until'>;
}) {
  if (state === 'readable') return null;
  if (state === 'cold') return <StatusIndicator type="stopped">Has to be thawed</StatusIndicator>;
  if (state === 'thawing') return <StatusIndicator type="in-progress">Being thawed</StatusIndicator>;
  return (
    <StatusIndicator type="success">
      Thawed
      {readable_until !== undefined && (
        <>
          {' '}
          until <Time value={readable_until} />
        </>
      )}
    </StatusIndicator>
  );
}

/** Requests an archive from cold storage, once the user has chosen how fast. Nothing if it can be read. */
export function ThawButton({ record, done }: { record: BackupView; done: () => void }) {
  const { api, refusal } = useSession();
  const { notify, fail } = useNotices();
  const [open, setOpen] = useState(false);
  const [tier, setTier] = useState('standard');
  const [sending, setSending] = useState(false);
  const { backup_id, storage } = record;
  if (storage?.state !== 'cold') return null;
  const offers = storage.thaw ?? [];
  const thaw = async () => {
    setSending(true);
    try {
      const chosen = offers.find((offer) => offer.tier === tier)?.tier ?? 'standard';
      const found = await api.thawBackup(backup_id, { tier: chosen });
      notify({
        type: 'info',
        header: 'The archive is being thawed',
        content: found.expected_by && (
          <>
            Expected by <Time value={found.expected_by} />.
          </>
        ),
      });
      setOpen(false);
      done();
    } catch (error) {
      fail('The archive could not be thawed', error);
    } finally {
      setSending(false);
    }
  };
  return (
    <>
      <Button onClick={() => setOpen(true)} {...blocked(refusal('thawBackup'))}>
        Thaw
      </Button>
      {open && (
        <Question
          visible
          header="Thaw this archive?"
          no={{ text: 'Cancel', onClick: () => setOpen(false), disabled: sending }}
          yes={{ text: 'Thaw', onClick: () => void thaw(), loading: sending }}
        >
          <SpaceBetween size="m">
            <Box>
              The archive is in {storage.storage_class}. S3 bills thawing, and the copy that can then be read
              for 7 days. Durations and prices are estimates.
            </Box>
            <RadioGroup
              value={tier}
              onChange={({ detail }) => setTier(detail.value)}
              ariaLabel="How fast"
              items={offers.map((offer) => ({ value: offer.tier, label: offerText(offer) }))}
            />
            <Command line={`ngbak thaw ${backup_id} --tier ${tier} --wait`} />
          </SpaceBetween>
        </Question>
      )}
    </>
  );
}
