import type { PropertyFilterProps } from '@cloudscape-design/components/property-filter';
import type { Deployment } from '../../shared/operations/describe-deployment.ts';
import type { BackupFilters } from '../../shared/operations/list-backups.ts';

type FilterName = keyof BackupFilters;

interface Filter {
  readonly label: string;
  readonly values: string;
  /** Operands of the API, as labels for the user. */
  readonly operator: PropertyFilterProps.ComparisonOperator;
}

/** The filter properties of the list, each used once: the API combines them with "and". */
const FILTERS: Record<FilterName, Filter> = {
  target: { label: 'Target', values: 'Targets', operator: '=' },
  type: { label: 'Type', values: 'Types', operator: '=' },
  store: { label: 'Store', values: 'Stores', operator: '=' },
  state: { label: 'State', values: 'States', operator: '=' },
  tag: { label: 'Tag', values: 'Tags', operator: '=' },
  namespace: { label: 'Namespace', values: 'Namespaces', operator: '=' },
  collection: { label: 'Collection', values: 'Collections', operator: '=' },
  since: { label: 'Created since', values: 'Dates, for example 2026-01-31', operator: '>=' },
  until: { label: 'Created before', values: 'Dates, for example 2026-01-31', operator: '<' },
};
const NAMES = Object.keys(FILTERS) as FilterName[];
const TIMES: readonly FilterName[] = ['since', 'until'];

export const FILTERING_PROPERTIES: PropertyFilterProps.FilteringProperty[] = NAMES.map((key) => ({
  key,
  propertyLabel: FILTERS[key].label,
  groupValuesLabel: FILTERS[key].values,
  operators: [FILTERS[key].operator],
  defaultOperator: FILTERS[key].operator,
}));

/** Values to choose from. */
export function filteringOptions(
  targets: Deployment['targets'],
  tags: readonly string[],
): PropertyFilterProps.FilteringOption[] {
  const options = (propertyKey: FilterName, values: readonly string[]) =>
    values.map((value) => ({ propertyKey, value }));
  return [
    ...options(
      'target',
      targets.map(({ name }) => name),
    ),
    ...options('type', ['full', 'partial']),
    ...options('store', [...new Set(targets.flatMap(({ stores }) => stores.map(({ store }) => store)))]),
    ...options('state', ['complete', 'complete_with_warnings', 'damaged']),
    ...options('tag', tags),
  ];
}

/** The filters in an address, as the field shows them. */
export function tokensOf(query: URLSearchParams): PropertyFilterProps.Query {
  const tokens = NAMES.flatMap((name) => {
    const value = query.get(name);
    return value === null ? [] : [{ propertyKey: name, operator: FILTERS[name].operator, value }];
  });
  return { operation: 'and', tokens };
}

/** The same as query parameters of an address. If a property has two values, the last one is used. */
export function parametersOf({ tokens }: PropertyFilterProps.Query): Record<string, string> {
  return Object.fromEntries(
    tokens.flatMap(({ propertyKey = '', value }) =>
      Object.hasOwn(FILTERS, propertyKey) && typeof value === 'string' ? [[propertyKey, value.trim()]] : [],
    ),
  );
}

/** The same for the API: a day begins at midnight in the user's zone. */
export function filtersOf(query: URLSearchParams): Partial<BackupFilters> {
  return Object.fromEntries(
    NAMES.flatMap((name) => {
      const value = query.get(name);
      if (value === null || value === '') return [];
      return [[name, TIMES.includes(name) ? instantOf(value) : value]];
    }),
  );
}

/** Converts a typed date or time to ISO 8601 in UTC; anything else is left for the API to refuse. */
function instantOf(text: string): string {
  const time = /^\d{4}-\d{2}-\d{2}$/.test(text) ? new Date(`${text}T00:00:00`) : new Date(text);
  return Number.isNaN(time.getTime()) ? text : time.toISOString();
}
