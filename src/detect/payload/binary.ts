import { FILE_MARKERS_MAX, FILE_MARKER_CHARACTERS } from './bounds.ts'
import { inspectValue, leaveOut } from './inspection.ts'
import type { Inspection } from './inspection.ts'

const MARKERS = ['<?php', '<?=', '<script', '<%@', '\u00ac\u00ed\u0000\u0005']

/**
 * Pictures and files: only code that a server would run where it finds it. The receipt says that the rest was
 * not read.
 */
export function inspectBinary (inspection: Inspection, text: string, place: string): void {
  leaveOut(inspection, `${place}: a file, read for marks of code only`)
  for (const marker of MARKERS) {
    let at = text.indexOf(marker)
    for (let count = 0; at !== -1; count++) {
      if (count >= FILE_MARKERS_MAX) {
        leaveOut(inspection, `${place}: marks of code beyond the ${FILE_MARKERS_MAX}th`)
        break
      }
      inspectValue(inspection, 'multipart', place, text.slice(at, at + FILE_MARKER_CHARACTERS), '', 2)
      at = text.indexOf(marker, at + FILE_MARKER_CHARACTERS)
    }
  }
}
