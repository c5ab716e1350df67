import Header from '@cloudscape-design/components/header';

export default function CreateBackup() {
  return <Header variant="h1">CreateBackup</Header>;
}
