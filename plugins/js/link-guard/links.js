// Finding links as apps and browsers would: with a scheme, with `www.`, or as a bare name.
import { canonical, isAscii, trimEnd, visible } from './names.js';

// Schemes of which browsers take any number of slashes.
const WEB = /^(https?|ftp|wss?)$/i;

// Endings of files that no domain has: `node.js/react` is no link.
const FILES = new Set(
  (
    'asp bat cfg conf cpp css csv dll doc docx env exe gif gz hpp htm html ini ipynb jar jpeg jpg js ' +
    'json jsx jsp lock log mjs mkv mp3 mp4 odt pdf php png ppt pptx rtf svg tar toml ts tsv tsx txt ' +
    'vue wasm wav webp xls xlsx xml yaml yml'
  ).split(' '),
);

// They join and part letters, in some scripts rightly.
const JOINERS = /[\u{200c}\u{200d}]/gu;

/** Where the links of a text lead: canonical names, or null where it cannot be told. */
export function targets(text, endings) {
  const found = [];
  for (const chunk of plain(text).split(/\s+/u)) {
    // Most have none of these, and an interpreter is slow.
    if (/[.:%]/.test(chunk)) inChunk(chunk, endings, found);
  }
  return found;
}

/**
 * Without invisible characters, and with letters as they are read. What stands for a slash or an
 * at sign stays what it is: a host with such a character is looked at by itself.
 */
function plain(text) {
  if (isAscii(text)) return text;
  const seen = visible(text);
  if (seen.normalize('NFKC') === seen && !/[\u{3002}\u{ff61}]/u.test(seen)) return seen;
  return (
    seen
      // Else every Chinese sentence would make a name with the next one.
      .replace(/(?<=[A-Za-z0-9])[\u{3002}\u{ff61}](?=[A-Za-z0-9])/gu, '.')
      .replace(/[^\u{0}-\u{7f}]/gu, (c) => {
        const folded = c.normalize('NFKC');
        return /[^A-Za-z0-9.\-\u{80}-\u{10ffff}]/u.test(folded) ? c : folded;
      })
  );
}

function inChunk(chunk, endings, found) {
  let rest = chunk;
  let isPath = false;
  for (let split = splitScheme(rest); split; split = splitScheme(rest)) {
    const [before, behind] = split;
    inProse(before, isPath, endings, found);
    // A browser sees no end of the host before these; a comma or a quote is part of it.
    const end = behind.search(/[/\\?#]|$/);
    const host = hostIn(behind.slice(0, end));
    if (host) found.push(canonical(host));
    [rest, isPath] = [behind.slice(end), true];
  }
  inProse(rest, isPath, endings, found);
}

const DIVIDES = /[^\p{Alphabetic}\p{M}\p{N}\u{200c}\u{200d}.\-_@%:/\\?#]+/u;
const DIVIDES_ASCII = /[^A-Za-z0-9.\-_@%:/\\?#]+/;

/** Behind a host, names begin after a bracket or a quote at the earliest. */
function inProse(text, isPath, endings, found) {
  const parts = isPath ? text.split(/[<>"'()[\]{}|,;`]/).slice(1) : [text];
  for (const part of parts) {
    for (const piece of part.split(isAscii(part) ? DIVIDES_ASCII : DIVIDES)) {
      if (/[.%]/.test(piece)) inPiece(piece, endings, found);
    }
  }
}

/** A run of what can be in a link: `link:evil.com/x`, `a@b.example`, `either/or`. */
function inPiece(piece, endings, found) {
  const slashes = piece.length - piece.replace(/^[/\\]+/, '').length;
  let isStrong = slashes >= 2;
  let isBehindSlash = slashes === 1;
  let rest = piece.slice(slashes);
  while (rest) {
    const end = rest.search(/[/\\?#:]|$/);
    const [head, tail] = [rest.slice(0, end), rest.slice(end)];
    // A path, a port, something asked for.
    const leadsOn = /^([/\\]|:[0-9]|[?#][\p{Alphabetic}\p{N}])/u.test(tail);
    isStrong ||= leadsOn && !isBehindSlash;
    const name = bareName(head, isStrong, leadsOn, endings);
    if (name !== null) {
      found.push(name);
      return;
    }
    [isBehindSlash, isStrong, rest] = [tail !== '' && tail[0] !== ':', false, tail.slice(1)];
  }
}

/** The name, if it is one. `isStrong`: it stands where only a link makes sense. */
function bareName(head, isStrong, leadsOn, endings) {
  const at = head.lastIndexOf('@');
  // An e-mail address.
  if (at >= 0 && !leadsOn) return null;
  const written = trimEnd(head.slice(at + 1).replace(/^[.\-_]+/, ''), (c) => c === '-' || c === '_');
  const name = canonical(written);
  const labels = name?.split('.') ?? [];
  if (labels.length < 2 || labels.includes('')) return null;
  // A joiner makes it another name, but still one that is read like this one.
  const read = canonical(written.replace(JOINERS, ''));
  const ends = [name, read].some((one) => one !== null && endsIn(one, endings));
  return ends || ((isStrong || labels[0] === 'www') && couldBeDomain(labels.at(-1))) ? name : null;
}

const endsIn = (name, endings) => name.includes('.') && endings.has(name.slice(name.lastIndexOf('.') + 1));

const couldBeDomain = (last) => (/^[a-z]{2,}$/.test(last) || last.startsWith('xn--')) && !FILES.has(last);

// Looked for where a run of such letters begins: at each of them would take the square of its length.
const SCHEMES = /(?<![A-Za-z0-9+.-])[0-9+.-]*([A-Za-z][A-Za-z0-9+.-]*):([/\\]*)/g;

/** Splits at the first scheme that a host may follow, its slashes left out. */
function splitScheme(text) {
  for (const { 0: all, 1: scheme, 2: slashes, index } of text.matchAll(SCHEMES)) {
    const host = index + all.length;
    const isWeb = WEB.test(scheme);
    // `C:\\x` is a folder. Without slashes it may be prose, and is looked at only so far.
    const leads =
      slashes.length >= 2
        ? scheme.length > 1
        : isWeb && (slashes.length === 1 || text.slice(host, host + 256).includes('.'));
    if (leads) return [text.slice(0, host - slashes.length - 1 - scheme.length), text.slice(host)];
  }
  return null;
}

/** The host of an authority: without a user, a port and what ends a sentence. */
function hostIn(authority) {
  const [host] = authority.slice(authority.lastIndexOf('@') + 1).split(/[<>"]/);
  const marks = `.,;:!'\`*~_|(){}${host.startsWith('[') ? '' : ']'}`;
  const isEnd = (c) => marks.includes(c) || (c >= '\u{80}' && !/[\p{Alphabetic}\p{N}]/u.test(c));
  const trimmed = trimEnd(host, isEnd);
  const colon = trimmed.lastIndexOf(':');
  return /^:[0-9]*$/.test(trimmed.slice(colon)) ? trimmed.slice(0, colon) : trimmed;
}
