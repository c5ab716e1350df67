import { s3Source } from '../../archive/read/sources.ts';
import type { Bucket } from '../../aws/bucket.ts';
import type { ObjectVersion } from './plan.ts';

/** Opens exactly this version of an object for reading. */
export function openSource(bucket: Bucket, { bucket: name, key, version_id }: ObjectVersion) {
  return s3Source(bucket.s3, name, key, version_id);
}
