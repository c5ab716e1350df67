import Button from '@cloudscape-design/components/button';
import { useState } from 'react';
import { useNotices } from '../notices.tsx';
import { blocked } from '../parts/blocked.ts';
import { useSession } from '../session.tsx';
import { downloadArchive } from './download.ts';

/** Downloads an archive. With `label`, it is an icon of that name, for the row of a table. */
export function DownloadButton({ backupId, label }: { backupId: string; label?: string }) {
  const { api, refusal } = useSession();
  const { fail } = useNotices();
  const [asking, setAsking] = useState(false);
  const refused = refusal('downloadBackup');
  const download = async () => {
    setAsking(true);
    try {
      await downloadArchive(api, backupId);
    } catch (error) {
      fail('The backup could not be downloaded', error);
    } finally {
      setAsking(false);
    }
  };
  return (
    <Button
      iconName="download"
      loading={asking}
      onClick={() => void download()}
      {...(label === undefined ? {} : { variant: 'icon' as const, ariaLabel: label })}
      {...blocked(refused)}
    >
      {label === undefined && 'Download'}
    </Button>
  );
}
