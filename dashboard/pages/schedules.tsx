import SpaceBetween from '@cloudscape-design/components/space-between';
import type { PageProps } from '../app.tsx';
import { Loading, Problem, Show } from '../parts/states.tsx';
import { useSession } from '../session.tsx';
import { useData } from '../use-data.ts';
import { Retention } from './schedules/retention.tsx';
import { ScheduleForm } from './schedules/schedule-form.tsx';
import { ScheduleTable } from './schedules/schedule-table.tsx';

/** `#/schedules`, `#/schedules/new` and `#/schedules/<name>/edit`. */
export default function Schedules({ route: { parts } }: PageProps) {
  const { api } = useSession();
  const deployment = useData('deployment', api.deployment);
  const [, name, edit] = parts;
  const editing = name !== undefined && edit === 'edit' ? name : undefined;
  const existing = useData(editing, (signal) => api.showSchedule(editing ?? '', signal));
  return (
    <Show loaded={deployment} what="the deployment">
      {(data) => {
        if (name === 'new' && edit === undefined) return <ScheduleForm deployment={data} />;
        if (editing !== undefined) {
          const { data: schedule, error, reload } = existing;
          // Newer data would take away what the user has typed: the form begins with the first.
          if (schedule) return <ScheduleForm key={editing} deployment={data} schedule={schedule} />;
          return error ? <Problem error={error} retry={reload} /> : <Loading what="the schedule" />;
        }
        return (
          <SpaceBetween size="l">
            <ScheduleTable />
            <Retention />
          </SpaceBetween>
        );
      }}
    </Show>
  );
}
