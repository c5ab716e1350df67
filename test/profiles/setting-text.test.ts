import { describe, expect, test } from '@jest/globals';
import { parseSettings } from '../../shared/profiles/setting-text.ts';
import { compareConfigurations } from '../../shared/stores/config/compare.ts';
import { maskSecrets } from '../../shared/stores/config/mask.ts';

describe('settings in a text', () => {
  test.each([
    [
      'settings.yaml',
      'models:\n  chat: {model: gpt-4o, api_key: abc}\n  tokens: 12\n',
      { models: { chat: { model: 'gpt-4o', api_key: 'abc' }, tokens: 12 } },
    ],
    [
      '.env',
      '# comment\nexport OPENAI_API_KEY="a b" # c\nMODEL=gpt-4o # d\nEMPTY=\nURL=http://x?a=b\n',
      { OPENAI_API_KEY: 'a b', MODEL: 'gpt-4o', EMPTY: '', URL: 'http://x?a=b' },
    ],
    ['prod.env', 'A=1\r\nB=2\r\n', { A: '1', B: '2' }],
    [
      'config.ini',
      '[neo4j]\nuri = neo4j://x\npassword = abc\n',
      { neo4j: { uri: 'neo4j://x', password: 'abc' } },
    ],
    ['config.json', '{"a": [1]}', { a: [1] }],
    ['graphrag:settings', '{"a": 1}', { a: 1 }],
    ['graphrag:settings', 'A=1\nB=2', { A: '1', B: '2' }],
    ['graphrag:settings', 'a: 1\nb:\n  - c', { a: 1, b: ['c'] }],
  ])('%s is parsed by its file extension, or by its contents: %j', (name, text, expected) => {
    expect(parseSettings(name, text)).toEqual(expected);
  });

  test.each([
    ['settings.yaml', 'a: [1'],
    ['settings.yaml', 'hunter2'],
    ['settings.json', '"hunter2"'],
    ['.env', 'password hunter2'],
    ['graphrag:settings', 'hunter2'],
    [
      'settings.yaml',
      `a: &a [x, x]\n${Array.from({ length: 9 }, (_, n) => `${'bcdefghij'[n]}: &${'bcdefghij'[n]} [${Array(9).fill(`*${'abcdefghi'[n]}`).join(',')}]`).join('\n')}`,
    ],
  ])('%s is not read, since nothing in it could be masked by its name: %s', (name, text) => {
    expect(parseSettings(name, text)).toBeUndefined();
  });

  test('names with a meaning in JavaScript are valid names of settings', () => {
    const parsed = parseSettings('.env', '__proto__=1\nconstructor=2');
    expect(JSON.stringify(parsed)).toBe('{"__proto__":"1","constructor":"2"}');
    expect(({} as Record<string, unknown>).constructor).toBe(Object);
  });

  test('secrets are masked by the names found while reading', () => {
    const masked = maskSecrets(parseSettings('.env', 'OPENAI_API_KEY=abcdefgh\nCHUNK_SIZE=1200') ?? null);
    expect(masked).toEqual({ OPENAI_API_KEY: '***', CHUNK_SIZE: '1200' });
  });
});

describe('two configurations', () => {
  const configuration = (running: object, effective: object = {}) =>
    JSON.parse(
      JSON.stringify({ target: 'x', effective: { stores: { kv: { secret: 'a' } }, ...effective }, running }),
    );

  test('differ in settings, by their paths; names of secrets and of the target are not compared', () => {
    const saved = configuration(
      { 'settings.yaml': { chunk: { size: 1200 }, model: 'a', gone: true } },
      { profile: 'custom' },
    );
    const now = configuration(
      { 'settings.yaml': { chunk: { size: 800 }, model: 'a', added: null } },
      { profile: 'lightrag' },
    );
    now.effective.stores.kv.secret = 'b';
    expect(compareConfigurations(saved, now)).toEqual({
      total: 4,
      differences: [
        { setting: 'profile', archive: '"custom"', target: '"lightrag"' },
        { setting: 'running.settings.yaml.added', target: 'null' },
        { setting: 'running.settings.yaml.chunk.size', archive: '1200', target: '800' },
        { setting: 'running.settings.yaml.gone', archive: 'true' },
      ],
    });
    expect(compareConfigurations(now, now).total).toBe(0);
  });

  test('of an archive are bounded, regardless of their contents', () => {
    const many = Object.fromEntries(Array.from({ length: 500 }, (_, n) => [`s${n}`, 'x'.repeat(5000)]));
    const { differences, total } = compareConfigurations(configuration(many), configuration({}));
    expect([differences.length, total]).toEqual([50, 500]);
    expect(JSON.stringify(differences).length).toBeLessThan(50 * 400);
    for (const odd of [null, 1, [], { running: 'text' }, { effective: [] }]) {
      expect(() => compareConfigurations(odd, configuration({}))).not.toThrow();
    }
  });
});
