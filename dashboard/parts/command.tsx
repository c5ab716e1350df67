import Box from '@cloudscape-design/components/box';
import CopyToClipboard from '@cloudscape-design/components/copy-to-clipboard';

/** The equivalent command, to copy. */
export function Command({ line }: { line: string }) {
  return (
    <Box color="text-body-secondary" fontSize="body-s">
      In a terminal: <Copyable text={line} what="command" />
    </Box>
  );
}

/** Text to copy, such as a checksum. */
export function Copyable({ text, what, shown = text }: { text: string; what: string; shown?: string }) {
  return (
    <CopyToClipboard
      variant="inline"
      textToCopy={text}
      textToDisplay={shown}
      copyButtonAriaLabel={`Copy the ${what}`}
      copySuccessText="Copied"
      copyErrorText="Copying failed"
    />
  );
}

/** A word of a command line, quoted if a shell would otherwise interpret it. */
export function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
