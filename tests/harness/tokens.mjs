import { createHmac, sign as signWith } from 'node:crypto';

const base64url = (value) => Buffer.from(value).toString('base64url');

/** Seconds since 1970, as in `iat` and `exp`. */
export const now = () => Math.floor(Date.now() / 1000);

/**
 * A compact JWT. `key` is a secret for HS*, a private key for the rest.
 * `header` adds to or replaces the header; a value of undefined takes a field away.
 */
export function jwt(claims, key, { alg = 'HS256', header = {} } = {}) {
  const head = JSON.stringify({ alg, typ: 'JWT', ...header });
  const input = `${base64url(head)}.${base64url(JSON.stringify(claims))}`;
  return `${input}.${base64url(signature(alg, input, key))}`;
}

function signature(alg, input, key) {
  const digest = `sha${alg.slice(2)}`;
  switch (alg.slice(0, 2)) {
    case 'HS':
      return createHmac(digest, key).update(input).digest();
    case 'RS':
      return signWith(digest, input, key);
    case 'PS':
      return signWith(digest, input, { key, padding: 6, saltLength: -1 });
    case 'ES':
      return signWith(digest, input, { key, dsaEncoding: 'ieee-p1363' });
    case 'Ed':
      return signWith(null, input, key);
    default:
      return '';
  }
}

/** The token with its payload changed after it was signed. */
export function tampered(token, change) {
  const [head, payload, signed] = token.split('.');
  const claims = JSON.parse(Buffer.from(payload, 'base64url'));
  return [head, base64url(JSON.stringify({ ...claims, ...change })), signed].join('.');
}

/** What a token says, unverified. */
export const claimsOf = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));
