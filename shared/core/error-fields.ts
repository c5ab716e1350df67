/**
 * `name`, `code` and `message` of a thrown value, empty if absent. Reads the fields and does not use `instanceof`:
 * errors of Node's own modules come from another realm if a test runner executes this code in a separate context.
 */
export function errorFields(error: unknown): { name: string; code: string; message: string } {
  const field = (key: string): string => {
    if (typeof error !== 'object' || error === null) return '';
    const value: unknown = Reflect.get(error, key);
    return typeof value === 'string' ? value : '';
  };
  return { name: field('name'), code: field('code'), message: field('message') };
}
