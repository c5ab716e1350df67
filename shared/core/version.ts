/** Version of ngbak, the one in package.json: recorded in every archive. A test keeps the two together. */
export const VERSION = '0.1.0';
