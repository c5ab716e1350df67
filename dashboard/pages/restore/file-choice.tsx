import FileUpload from '@cloudscape-design/components/file-upload';
import FormField from '@cloudscape-design/components/form-field';
import { useState } from 'react';
import { bytes } from '../../../cli/format.ts';
import { checkContent, checkNameAndSize } from '../../upload/archive-file.ts';

/** Lets the user choose or drop an archive; other files are refused before anything is sent. */
export function FileChoice({
  file,
  maxBytes,
  onChoose,
}: {
  file: File | undefined;
  /** Largest archive that the deployment accepts, in bytes. Absent if the upload was admitted before. */
  maxBytes?: number;
  onChoose: (file: File | undefined) => void;
}) {
  const [refused, setRefused] = useState<{ file: File; text: string }>();
  const choose = async (chosen: File | undefined) => {
    setRefused(undefined);
    onChoose(undefined);
    if (!chosen) return;
    const problem = checkNameAndSize(chosen, maxBytes) ?? (await checkContent(chosen));
    if (problem) setRefused({ file: chosen, text: `${problem.problem} ${problem.remedy}` });
    else onChoose(chosen);
  };
  const shown = refused?.file ?? file;
  return (
    <FormField
      label="Archive"
      description={`A .ngbak file${maxBytes === undefined ? '' : ` of up to ${bytes(maxBytes)}`}. It is uploaded directly to S3, and the upload can be paused.`}
    >
      <FileUpload
        value={shown ? [shown] : []}
        accept=".ngbak"
        showFileSize
        showFileLastModified
        fileErrors={[refused?.text ?? null]}
        onChange={({ detail }) => choose(detail.value[0])}
        i18nStrings={{
          uploadButtonText: () => 'Choose file',
          dropzoneText: () => 'Drop the archive here',
          removeFileAriaLabel: (_, name) => `Remove ${name}`,
          errorIconAriaLabel: 'Error',
          formatFileSize: bytes,
          formatFileLastModified: (date) => date.toLocaleString('sv-SE'),
        }}
      />
    </FormField>
  );
}
