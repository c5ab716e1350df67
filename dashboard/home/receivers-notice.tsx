import Alert from '@cloudscape-design/components/alert';
import { useSession } from '../session.tsx';
import { useData } from '../use-data.ts';

/** Warns if nobody is notified of failures, or if a receiver cannot receive messages. */
export function ReceiversNotice() {
  const { api } = useSession();
  const { data } = useData('notifications', (signal) => api.showNotifications(signal));
  if (!data?.warning) return null;
  const { text, remedy } = data.warning;
  return (
    <Alert type="warning" header="Notifications">
      <bdi>{text}</bdi> {remedy}
    </Alert>
  );
}
