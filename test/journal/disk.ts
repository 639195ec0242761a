import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { systemFiles } from '../../src/journal/files.ts'
import type { FileLayer, OpenFile } from '../../src/journal/files.ts'
import type { AuditInput } from '../../src/audit/shapes.ts'

export const silentLog = { info () {}, warn () {}, error () {} }

export const seen: AuditInput = { category: 'access', type: 'request.seen', actor: 'ip:192.0.2.1', outcome: 'ok' }

/** A folder that goes with the test. */
export function temporaryFolder (t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'neko-audit-'))
  t.teardown(() => { rmSync(folder, { recursive: true, force: true }) })
  return folder
}

export interface Fault {
  /** Code thrown by writes, opens. */
  write: string | null
  /** Code thrown by the next syncs, this many times. */
  syncError: string | null
  syncErrors: number
  syncDelayMs: number
  /** A sync waits for it: a disk that hangs until the test lets it go on. */
  beforeSync: (() => Promise<void>) | null
}

/** The real disk, told to fail; `syncs` lists each file that was synced, with its outcome. */
export function faultyFiles (): { files: FileLayer, fault: Fault, syncs: Array<{ path: string, ok: boolean }> } {
  const fault: Fault = { write: null, syncError: null, syncErrors: 0, syncDelayMs: 0, beforeSync: null }
  const syncs: Array<{ path: string, ok: boolean }> = []
  const refuse = (): void => { if (fault.write !== null) throw failure(fault.write) }
  const open = (path: string, mode: 'create' | 'existing'): OpenFile => {
    refuse()
    const file = systemFiles.open(path, mode)
    const syncNow = (): void => {
      if (fault.syncErrors > 0) {
        fault.syncErrors--
        syncs.push({ path, ok: false })
        throw failure(fault.syncError ?? 'EIO')
      }
      syncs.push({ path, ok: true })
    }
    return {
      ...file,
      async write (bytes, position) {
        if (fault.write !== null) await file.write(bytes.subarray(0, bytes.length >> 1), position)
        refuse()
        await file.write(bytes, position)
      },
      writeNow (bytes, position) {
        refuse()
        file.writeNow(bytes, position)
      },
      async sync () {
        if (fault.syncDelayMs > 0) await sleep(fault.syncDelayMs)
        await fault.beforeSync?.()
        syncNow()
        await file.sync()
      },
      syncNow
    }
  }
  return { files: { ...systemFiles, open }, fault, syncs }
}

/** Until it is let go, syncs hang; `reached` resolves when one does. */
export function hang (fault: Fault): { reached: Promise<void>, letGo (): void } {
  const reached = Promise.withResolvers<void>()
  const gate = Promise.withResolvers<void>()
  fault.beforeSync = async () => {
    reached.resolve()
    await gate.promise
  }
  return {
    reached: reached.promise,
    letGo () {
      fault.beforeSync = null
      gate.resolve()
    }
  }
}

export function failure (code: string): Error {
  return Object.assign(new Error(code), { code })
}
