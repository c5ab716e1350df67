import Header from '@cloudscape-design/components/header';

export default function Restore() {
  return <Header variant="h1">Restore</Header>;
}
