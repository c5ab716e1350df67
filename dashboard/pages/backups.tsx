import Header from '@cloudscape-design/components/header';

export default function Backups() {
  return <Header variant="h1">Backups</Header>;
}
