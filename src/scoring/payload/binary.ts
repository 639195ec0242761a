import { inspectValue } from './inspection.ts'
import type { Inspection } from './inspection.ts'

/** Pictures and files: only code that a server would run where it finds it. */
export function inspectBinary (inspection: Inspection, text: string, place: string): void {
  for (const marker of ['<?php', '<?=', '<script', '<%@', '\u00ac\u00ed\u0000\u0005']) {
    const at = text.indexOf(marker)
    if (at === -1) continue
    inspectValue(inspection, 'multipart', place, text.slice(at, at + 400), '', 2)
  }
}
