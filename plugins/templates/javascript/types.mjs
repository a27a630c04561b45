// Makes the types of `npm run types` say what componentize-qjs does: an option that is absent is
// null, a 64-bit integer is a number, and each hook that wit/plugin.wit exports has to be there.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

const FOLDER = 'types/interfaces';
const HOOKS = /-(before-send|validate-content|on-notify|on-event|lifecycle)\.d\.ts$/;
/** Records that a plugin is only shown. In all others a field without a value may be left out. */
const SHOWN = ['Caller', 'Message', 'Person', 'Profile', 'Notification', 'Recipient'];

function mended(text, isHook) {
  // What a plugin is given is null where it is absent; what it gives may be undefined, too.
  const [given, gives] = ['| null', '| null | undefined'];
  let record = '';
  const lines = text.split('\n').map((line) => {
    if (/^\s*\*|^\s*\/[*/]/.test(line)) return line;
    line = line.replace(/\bbigint\b/g, 'number').replace(' implements Disposable', '');
    record = /export interface (\w+)/.exec(line)?.[1] ?? record;
    if (SHOWN.includes(record)) line = line.replace(/^( +\w+)\?: (.*),$/, `$1: $2 ${given},`);
    line = line.replace(/^( +\w+\?: .*),$/, `$1 ${given},`);
    const signature = /^(.*\bfunction \w+\()(.*)(\): .*)$/.exec(line);
    if (!signature) return line.replaceAll('| undefined', gives);
    const [, name, parameters, answer] = signature;
    const [taken, answered] = isHook ? [given, gives] : [gives, given];
    return name + parameters.replaceAll('| undefined', taken) + answer.replaceAll('| undefined', answered);
  });
  return lines.filter((line) => !line.includes('[Symbol.dispose]')).join('\n');
}

for (const file of readdirSync(FOLDER)) {
  const path = `${FOLDER}/${file}`;
  writeFileSync(path, mended(readFileSync(path, 'utf8'), HOOKS.test(file)));
}
const [, world] = /^declare module '([^']+)'/m.exec(readFileSync('types/plugin.d.ts', 'utf8'));
writeFileSync(
  'types/exports.ts',
  `import * as plugin from '../plugin.js';\n\nplugin satisfies typeof import('${world}');\n`,
);
