// What an org sets; see the table of ../../link-guard. What cannot be meant is thrown as a text.
import { canonical } from './names.js';

// Without those that are words or endings of files (`is`, `me`, `zip`, `md`): people forget the
// space after a full stop.
const ENDINGS =
  'com net org info biz edu gov int mil io co app dev xyz top site online shop store club live ' +
  'link click icu vip pro ru su ua by kz cn jp kr hk tw sg th vn de at ch fr es pt nl pl cz sk hu ' +
  'ro bg gr tr il ae sa ir pk lk bd br ar cl mx pe ve ca us uk eu ie se dk fi ee lv lt nz au za ' +
  'ng ke eg ma tk ml ga cf gq gg gl ly cc tv ws рф укр бел 中国';

const MODES = ['reject', 'hold', 'label'];

export function readConfig(get) {
  const mode = get('mode')?.trim() || 'reject';
  if (!MODES.includes(mode)) throw '`mode` must be reject, hold or label';
  return {
    mode,
    allows: parseAllowed(get('allow') ?? ''),
    endings: parseEndings(get('endings')?.trim() || ENDINGS),
    message: get('message') || 'Links to that site are not allowed.',
  };
}

const entries = (list) => list.split(/[,\s]+/u).filter(Boolean);

/** Whether a name in its canonical form is one of the list's. */
function parseAllowed(list) {
  const [names, below] = [new Set(), []];
  for (const entry of entries(list)) {
    const isBelow = entry.startsWith('*.');
    const name = canonical(isBelow ? entry.slice(2) : entry);
    if (name === null || name.split('.').includes('')) {
      throw (
        '`allow` must list domains such as example.com or *.example.com, without https:// and ' +
        `paths; \`${entry}\` is none`
      );
    }
    if (isBelow) below.push(`.${name}`);
    else names.add(name);
  }
  return (name) =>
    names.has(name) || below.some((end) => name.length > end.length && name.endsWith(end));
}

function parseEndings(list) {
  if (list === 'none') return new Set();
  return new Set(
    entries(list).map((entry) => {
      const ending = canonical(entry.replace(/^\.+/, ''));
      if (ending !== null) return ending;
      throw `\`endings\` must list endings such as com, or be none; \`${entry}\` is none`;
    }),
  );
}
