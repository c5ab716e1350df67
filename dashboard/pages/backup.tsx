import Header from '@cloudscape-design/components/header';

export default function Backup() {
  return <Header variant="h1">Backup</Header>;
}
