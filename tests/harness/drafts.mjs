/** A send as its request says it. */
export const draft = (to, fields = {}) => ({
  to: to.email,
  content: 'hello',
  contentType: 'text',
  ...fields,
});

/** An attachment that is in order. */
export const file = (fields = {}) => ({
  url: 'https://cdn.example/a.png',
  type: 'image/png',
  name: 'a.png',
  size: 1234,
  ...fields,
});
