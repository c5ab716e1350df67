import Header from '@cloudscape-design/components/header';

export default function Schedules() {
  return <Header variant="h1">Schedules</Header>;
}
