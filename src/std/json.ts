/** Values that survive JSON: the only thing that crosses process boundaries and enters the store. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }
