import Box from '@cloudscape-design/components/box';
import Button from '@cloudscape-design/components/button';
import Modal from '@cloudscape-design/components/modal';
import SpaceBetween from '@cloudscape-design/components/space-between';
import type { ReactNode } from 'react';

/** Asks before an action that cannot be undone: the content states the consequences, and two buttons the choices. */
export function Question({
  visible,
  header,
  no,
  yes,
  children,
}: {
  visible: boolean;
  header: string;
  no: { text: string; onClick: () => void; disabled?: boolean };
  yes: { text: string; onClick: () => void; loading: boolean; disabled?: boolean };
  children: ReactNode;
}) {
  return (
    <Modal
      visible={visible}
      onDismiss={no.onClick}
      header={header}
      footer={
        <Box float="right">
          <SpaceBetween direction="horizontal" size="xs">
            <Button variant="link" onClick={no.onClick} disabled={no.disabled ?? false}>
              {no.text}
            </Button>
            <Button
              variant="primary"
              onClick={yes.onClick}
              loading={yes.loading}
              disabled={yes.disabled ?? false}
            >
              {yes.text}
            </Button>
          </SpaceBetween>
        </Box>
      }
    >
      {children}
    </Modal>
  );
}
