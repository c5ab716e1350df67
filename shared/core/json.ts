/** A value that JSON can say. Cursors and parameters are made from these, and stay small: they travel in workflow state. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
