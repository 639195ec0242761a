import { printSchema } from 'graphql'
import { rooms } from '../src/rooms.ts'
import { buildNekoSchema } from '../src/schema/build-schema.ts'

/** Prints the schema: `node test/print-schema.ts > test/schema.graphql` after a reviewed change of the SDL. */
console.log(printSchema(buildNekoSchema(rooms)))
