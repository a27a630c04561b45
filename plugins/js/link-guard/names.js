// Names of hosts, in the form in which they are compared.

// Characters without width that names lose on their way to DNS. The two joiners are not among
// them: they make another name.
const INVISIBLE =
  /[\u{ad}\u{34f}\u{61c}\u{115f}\u{1160}\u{180b}-\u{180f}\u{200b}\u{200e}\u{200f}\u{202a}-\u{202e}\u{2060}-\u{206f}\u{3164}\u{fe00}-\u{fe0f}\u{feff}\u{ffa0}\u{e0000}-\u{e0fff}]/gu;

export const isAscii = (text) => !/[^\u{0}-\u{7f}]/u.test(text);

export const visible = (text) => text.replace(INVISIBLE, '');

/** Not by `replace`: a pattern that ends with `+$` takes the square of a text's length. */
export function trimEnd(text, isEnd) {
  const chars = Array.from(text);
  let end = chars.length;
  while (end > 0 && isEnd(chars[end - 1])) end -= 1;
  return chars.slice(0, end).join('');
}

/**
 * A name as a browser would look it up: percent-encoding undone, full-width and the like made
 * plain, lower case, international labels in their ASCII form, no dots at its end.
 *
 * Null where no host can be called so. That includes names in which a character stands for
 * a slash or an at sign: programs differ in where they think that such a host ends.
 */
export function canonical(written) {
  // Most names are plain, and an interpreter is slow.
  if (/^[a-z0-9.\-]{1,252}[a-z0-9\-]$/.test(written)) return written;
  let decoded;
  try {
    decoded = decodeURIComponent(written);
  } catch {
    return null;
  }
  const folded = visible(decoded).normalize('NFKC').toLowerCase().replace(/[\u{3002}\u{ff61}]/gu, '.');
  const name = trimEnd(folded.normalize('NFKC'), (c) => c === '.');
  // DNS has no longer ones, and the arithmetic of their ASCII form takes time.
  if (!/^[a-z0-9._\-\u{80}-\u{10ffff}]{1,253}$/u.test(name)) return null;
  return name.split('.').map(toAscii).join('.');
}

/** A label as DNS has it (RFC 3492): `xn--` and more where it is not ASCII. */
function toAscii(label) {
  const points = Array.from(label, (c) => c.codePointAt(0));
  const basic = points.filter((point) => point < 0x80);
  if (basic.length === points.length) return label;
  let encoded = String.fromCharCode(...basic) + (basic.length > 0 ? '-' : '');
  let [least, delta, bias, handled] = [0x80, 0, 72, basic.length];
  while (handled < points.length) {
    const next = Math.min(...points.filter((point) => point >= least));
    delta += (next - least) * (handled + 1);
    for (const point of points) {
      if (point < next) delta += 1;
      if (point !== next) continue;
      encoded += number(delta, bias);
      bias = adapt(delta, handled + 1, handled === basic.length);
      delta = 0;
      handled += 1;
    }
    delta += 1;
    least = next + 1;
  }
  return `xn--${encoded}`;
}

const DIGITS = 'abcdefghijklmnopqrstuvwxyz0123456789';

function number(rest, bias) {
  let text = '';
  for (let k = 36; ; k += 36) {
    const threshold = Math.min(Math.max(k - bias, 1), 26);
    if (rest < threshold) return text + DIGITS[rest];
    const span = 36 - threshold;
    text += DIGITS[threshold + ((rest - threshold) % span)];
    rest = Math.floor((rest - threshold) / span);
  }
}

function adapt(delta, points, isFirst) {
  let rest = Math.floor(delta / (isFirst ? 700 : 2));
  rest += Math.floor(rest / points);
  let k = 0;
  for (; rest > 455; k += 36) rest = Math.floor(rest / 35);
  return k + Math.floor((36 * rest) / (rest + 38));
}
