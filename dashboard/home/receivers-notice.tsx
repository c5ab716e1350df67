import Alert from '@cloudscape-design/components/alert';
import { Problem } from '../parts/states.tsx';
import { useSession } from '../session.tsx';
import { useData } from '../use-data.ts';

/** Warns if nobody is notified of failures, or if a receiver cannot receive messages. */
export function ReceiversNotice() {
  const { api } = useSession();
  const { data, error, reload } = useData('notifications', (signal) => api.showNotifications(signal));
  if (error) return <Problem error={error} retry={reload} />;
  if (!data?.warning) return null;
  const { text, remedy } = data.warning;
  return (
    <Alert type="warning" header="Notifications">
      <bdi>{text}</bdi> {remedy}
    </Alert>
  );
}
