/** Any JSON value. Cursors and parameters have this type and must stay small: they are part of the workflow's state. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
