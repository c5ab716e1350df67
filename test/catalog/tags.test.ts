import { describe, expect, test } from '@jest/globals';
import { countContents } from '../../shared/catalog/metadata.ts';
import { BackupRequest, OwnTags } from '../../shared/catalog/request.ts';
import { addTags, hasTag, pairsOf } from '../../shared/catalog/tags.ts';

describe('tags', () => {
  test('of the form key=value are pairs; all others are plain', () => {
    expect(pairsOf(['weekly', 'env=prod', 'owner=', '=x', 'url=https://a?b=c', '__proto__=1'])).toEqual(
      Object.fromEntries([
        ['env', 'prod'],
        ['owner', ''],
        ['url', 'https://a?b=c'],
        ['__proto__', '1'],
      ]),
    );
  });

  test.each([
    ['weekly', true],
    ['env=prod', true],
    ['env=dev', false],
    ['env', true],
    ['env=', true],
    ['week', false],
    ['weekly=', false],
  ])('the filter %s: %s', (filter, expected) => {
    expect(hasTag(['weekly', 'env=prod'], filter)).toBe(expected);
  });

  test('adding a pair replaces the previous value of its key', () => {
    expect(addTags(['a', 'env=prod', 'env2=x'], ['env=dev', 'a'])).toEqual(['a', 'env2=x', 'env=dev']);
  });

  test('two values for one key are refused, and the key is named', () => {
    const tags = ['env=prod', 'env=dev'];
    expect(OwnTags.safeParse(tags).error?.issues[0]?.message).toBe('key "env" has several values');
    expect(BackupRequest.safeParse({ tags }).error?.issues[0]?.message).toBe('key "env" has several values');
    expect(BackupRequest.safeParse({ tags: ['env=prod', 'env=prod', 'env'] }).success).toBe(true);
  });
});

test('keys stored in files are part of the files, and are not counted twice', () => {
  expect(
    countContents({
      graph: { nodes: 2, relationships: 3, schema: 9, dangling: 1 },
      vectors: { 'points:a': 4 },
      kv: { 'keys:docs': { count: 5 }, 'keys:chunks': { count: 6 } },
    }),
  ).toEqual({ records: 20, files: 0 });
  expect(countContents({ kv: { files: 3, 'keys:docs': 5 } })).toEqual({ records: 0, files: 3 });
});
