/** How much of a body a route takes from anybody; a caller who may hand in samples or imports may send more. */
export const BODY_BYTES_MAX = 64 * 1024
