/** The criterion benches of single pieces: `benches/hot.rs`. */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

import { watched } from './accounts.mjs';

const ROOT = join(import.meta.dirname, '../../..');
const SHORT = ['--', '--warm-up-time', '0.1', '--measurement-time', '0.1', '--sample-size', '10'];

export async function measureHot(run) {
  const home = join(run.directory, 'criterion');
  // The build that tests use will do where figures mean nothing.
  const profile = run.smoke ? ['--profile', 'dev'] : [];
  await cargoBench([...profile, '--no-run'], home);
  const { cpu } = await watched(run, () => cargoBench([...profile, ...(run.smoke ? SHORT : [])], home));
  for (const bench of found(home)) {
    const { full_id: test } = JSON.parse(readFileSync(join(bench, 'benchmark.json'), 'utf8'));
    const { median } = JSON.parse(readFileSync(join(bench, 'estimates.json'), 'utf8'));
    run.add('criterion', test, { micros: median.point_estimate / 1000, cpu });
  }
}

async function cargoBench(options, home) {
  const cargo = spawn('cargo', ['bench', '--bench', 'hot', ...options], {
    cwd: ROOT,
    env: { ...process.env, CRITERION_HOME: home },
    stdio: 'inherit',
  });
  const code = await new Promise((done) => cargo.once('exit', done));
  if (code !== 0) throw new Error(`cargo bench ended (${code})`);
}

/** Every directory with the newest estimates of a bench. */
function found(directory) {
  const below = readdirSync(directory, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return below.flatMap(({ name }) => {
    const path = join(directory, name);
    return name === 'new' && existsSync(join(path, 'estimates.json')) ? [path] : found(path);
  });
}
