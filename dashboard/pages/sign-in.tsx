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

/** Longest key or token that the API accepts, in characters. */
const KEY_LENGTH_MAX = 8192;

/** Asks for a key, which the API validates. */
export function SignIn({ ended, signIn }: { ended: boolean; signIn: (key: string) => void }) {
  const [key, setKey] = useState('');
  const [problem, setProblem] = useState('');
  const submit = () => {
    const entered = key.trim();
    if (!/^[\x21-\x7e]+$/.test(entered) || entered.length > KEY_LENGTH_MAX) {
      setProblem('A key is a single word of letters, digits and punctuation, for example ngbak_….');
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
            <Alert type="warning" header="Invalid or expired key">
              The key was mistyped, was removed, or has expired. Sign in with a valid key to return to this
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
              description="Stored in this tab only, until you close it or sign out."
              constraintText="An administrator creates one with “ngbak key create NAME ROLE”."
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
            Viewers see backups and jobs. Operators also back up and restore. Admins also delete.
          </Box>
        </SpaceBetween>
      </Container>
    </form>
  );
}
