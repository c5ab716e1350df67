import Alert from '@cloudscape-design/components/alert';
import Box from '@cloudscape-design/components/box';
import Button from '@cloudscape-design/components/button';
import Container from '@cloudscape-design/components/container';
import Form from '@cloudscape-design/components/form';
import FormField from '@cloudscape-design/components/form-field';
import Header from '@cloudscape-design/components/header';
import Input from '@cloudscape-design/components/input';
import SpaceBetween from '@cloudscape-design/components/space-between';
import { useState } from 'react';

/** Longest key or token that the API looks at, in characters. */
const KEY_LENGTH_MAX = 8192;

/** Asks for a key. Whether it counts is for the API to say. */
export function SignIn({ ended, signIn }: { ended: boolean; signIn: (key: string) => void }) {
  const [key, setKey] = useState('');
  const [problem, setProblem] = useState('');
  const submit = () => {
    const entered = key.trim();
    if (!/^[\x21-\x7e]+$/.test(entered) || entered.length > KEY_LENGTH_MAX) {
      setProblem('A key is one word of letters, digits and signs, such as ngbak_….');
    } else signIn(entered);
  };
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <Container header={<Header variant="h1">Sign in</Header>}>
        <SpaceBetween size="l">
          {ended && (
            <Alert type="warning" header="Your key does not count">
              It was mistyped, taken away or has expired. Sign in with one that counts: you come back to this
              page.
            </Alert>
          )}
          <Form
            actions={
              <Button variant="primary" formAction="submit">
                Sign in
              </Button>
            }
          >
            <FormField
              label="Key"
              description="Kept in this tab only, until you close it or sign out."
              constraintText="An administrator makes one with “ngbak key NAME ROLE”."
              errorText={problem}
            >
              <Input
                type="password"
                autoFocus
                autoComplete="off"
                value={key}
                placeholder="ngbak_…"
                onChange={({ detail }) => {
                  setKey(detail.value);
                  setProblem('');
                }}
              />
            </FormField>
          </Form>
          <Box color="text-body-secondary" fontSize="body-s">
            A viewer sees backups and jobs, an operator also backs up and restores, an admin also deletes.
          </Box>
        </SpaceBetween>
      </Container>
    </form>
  );
}
