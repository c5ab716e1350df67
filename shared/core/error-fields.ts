/**
 * `name` and `code` of whatever was thrown, empty where it has none. By its fields and not by `instanceof`: errors of
 * Node's own modules come from another realm where a test runner puts our code into a context of its own.
 */
export function errorFields(error: unknown): { name: string; code: string; message: string } {
  const field = (key: string): string => {
    if (typeof error !== 'object' || error === null) return '';
    const value: unknown = Reflect.get(error, key);
    return typeof value === 'string' ? value : '';
  };
  return { name: field('name'), code: field('code'), message: field('message') };
}
