/** Name of the file that records the origin of the others. It belongs to ngbak, not to the knowledge base. */
export const ORIGIN_FILE = '.ngbak-origin.json';
