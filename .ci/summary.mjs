// Counts what Jest wrote and the checks beside it; ends with 1 when anything failed or no test ran.
import { readFileSync } from 'node:fs';

let jest = { numPassedTests: 0, numFailedTests: 0, numPendingTests: 0, numRuntimeErrorTestSuites: 0 };
try {
  jest = JSON.parse(readFileSync(process.argv[2], 'utf8'));
} catch {
  // Jest did not get that far: its check has failed.
}
const failedChecks = Number(process.env.FAILED_CHECKS ?? 0);
const failedTests = jest.numFailedTests + jest.numRuntimeErrorTestSuites;
const passed = jest.numPassedTests;
// The run of the tests is itself a check: where single tests failed it says nothing new.
const failed = failedTests > 0 ? failedTests + failedChecks - 1 : failedChecks;
console.log(`Tests: ${passed} passed, ${failed} failed, ${jest.numPendingTests} skipped`);
process.exit(failed > 0 || passed === 0 ? 1 : 0);
