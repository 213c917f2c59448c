// Counts the results of http-cache-tests by kind, and lists what is not `true`.
//
//     node cache_score.mjs FOLDER RESULTS [REQUIRED OPTIMAL]
//
// FOLDER holds the suite, RESULTS is what its cli printed. Fails when fewer than REQUIRED of the
// required or OPTIMAL of the optimal tests pass. `check` tests ask a question: no answer is wrong.

import fs from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'

const [folder, file, required = 0, optimal = 0] = process.argv.slice(2)
const index = pathToFileURL(path.resolve(folder, 'tests/index.mjs'))
const suites = (await import(index)).default
const results = JSON.parse(fs.readFileSync(file))
const passed = { required: 0, optimal: 0, check: 0 }
const total = { required: 0, optimal: 0, check: 0 }
for (const suite of suites) {
  for (const test of suite.tests) {
    const kind = test.kind ?? 'required'
    total[kind] += 1
    if (results[test.id] === true) {
      passed[kind] += 1
    } else if (kind !== 'check') {
      const [, message] = results[test.id] ?? ['', 'for browsers only']
      console.log(`${kind} ${test.id}: ${message}`)
    }
  }
}
console.log(Object.keys(total).map(kind => `${kind} ${passed[kind]}/${total[kind]}`).join(', '))
process.exitCode = passed.required >= required && passed.optimal >= optimal ? 0 : 1
