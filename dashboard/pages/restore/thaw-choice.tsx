import Container from '@cloudscape-design/components/container';
import Header from '@cloudscape-design/components/header';
import RadioGroup from '@cloudscape-design/components/radio-group';
import { offerText } from '../../../shared/core/cost-text.ts';
import type { ThawTier } from '../../../shared/core/storage-class.ts';
import { useSession } from '../../session.tsx';
import { useData } from '../../use-data.ts';

/**
 * How fast an archive in cold storage is thawed before its restore, with durations and prices. Nothing if the backup can
 * be read.
 */
export function ThawChoice({
  backup,
  tier,
  onChoose,
}: {
  backup: string;
  tier: ThawTier | undefined;
  onChoose: (tier: ThawTier) => void;
}) {
  const { api } = useSession();
  const loaded = useData(`storage of ${backup}`, (signal) => api.showBackup(backup, signal));
  const storage = loaded.data?.storage;
  if (storage?.state !== 'cold' && storage?.state !== 'thawing') return null;
  const offers = storage.thaw ?? [];
  const waiting = [{ value: 'standard', label: 'Wait until it is thawed, which was requested before' }];
  return (
    <Container
      header={
        <Header
          variant="h2"
          description="The restore waits until the archive can be read; nothing is locked meanwhile. S3 bills thawing. Durations and prices are estimates."
        >
          The archive is in cold storage ({storage.storage_class})
        </Header>
      }
    >
      <RadioGroup
        value={tier ?? null}
        ariaLabel="How fast it is thawed"
        onChange={({ detail }) => onChoose(detail.value as ThawTier)}
        items={
          offers.length > 0
            ? offers.map((offer) => ({ value: offer.tier, label: offerText(offer) }))
            : waiting
        }
      />
    </Container>
  );
}
