import { expect, test } from '@jest/globals';
import { consoleUrl } from '../../shared/operations/show-job.ts';

test.each([
  ['aws', 'eu-central-1', 'https://eu-central-1.console.aws.amazon.com/'],
  ['aws-cn', 'cn-north-1', 'https://console.amazonaws.cn/'],
  ['aws-us-gov', 'us-gov-west-1', 'https://console.amazonaws-us-gov.com/'],
])('a job of partition %s is shown in the console of that partition', (partition, region, start) => {
  const arn = `arn:${partition}:states:${region}:111122223333:execution:Ngbak-Backup:x`;
  const url = consoleUrl(arn);
  expect(url.startsWith(start)).toBe(true);
  expect(url).toContain(`region=${region}`);
  expect(url.endsWith(arn)).toBe(true);
});
