// When face login pauses and when it is off: fedfr_edge.recognition.lockout in the browser. The limits come from
// Python. A browser has no clock that nobody can set: one that went back counts as no time passed.

/** {failures, last: ms since 1970 of the newest} before anything failed. */
export const FRESH = { failures: 0, last: 0 };

/** Why a login ended, where that counts as a failure. */
export const FAILURES = new Set(["not_recognised", "not_live"]);

/** Count a login that ended with this reason; only comparisons that failed count. */
export function counted(attempts, reason, now) {
  if (reason === "accepted") return FRESH;
  if (FAILURES.has(reason)) return { failures: attempts.failures + 1, last: now };
  return attempts;
}

/** {reason, wait_seconds, text} while face login is refused, else null. */
export function blocked({ failures, last }, policy, now) {
  if (failures >= policy.limit) {
    const text = `Face login is off after ${failures} failures in a row. Delete the people here and enrol them again.`;
    return { reason: "other_factor", wait_seconds: null, text };
  }
  const over = failures - policy.failures;
  if (over < 0) return null;
  const wait = Math.min(policy.pause * 2 ** Math.min(over, 30), policy.longest) - Math.max(now - last, 0) / 1000;
  if (wait <= 0) return null;
  const seconds = Math.ceil(wait);
  return { reason: "locked", wait_seconds: seconds, text: `${failures} failures in a row, wait ${seconds} s` };
}
