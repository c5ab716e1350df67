import Badge from '@cloudscape-design/components/badge';
import SpaceBetween from '@cloudscape-design/components/space-between';

/** Tags in a row, each with its own text direction. */
export function Tags({ tags }: { tags: readonly string[] }) {
  return (
    <SpaceBetween direction="horizontal" size="xxs">
      {tags.map((tag) => (
        <Badge key={tag}>
          <bdi>{tag}</bdi>
        </Badge>
      ))}
    </SpaceBetween>
  );
}
