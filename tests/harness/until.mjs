import { setTimeout as pause } from 'node:timers/promises';

/** Asks again and again until `condition` answers something truthy, and returns that. */
export async function until(what, condition, withinMs = 10_000) {
  const deadline = Date.now() + withinMs;
  for (;;) {
    const answer = await condition();
    if (answer) return answer;
    if (Date.now() > deadline) throw new Error(`waited ${withinMs} ms in vain until ${what}`);
    await pause(20);
  }
}

/** The promise, or an error that names what did not come in time. */
export async function within(ms, what, promise) {
  let timer;
  const tooLate = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, tooLate]);
  } finally {
    clearTimeout(timer);
  }
}
