/** A hook that does almost nothing, behind HTTP: the cost of a webhook beside a plugin call. Prints where it listens. */
import http from 'node:http';

const server = http.createServer((request, response) => {
  let body = '';
  request.on('data', (chunk) => (body += chunk));
  request.on('end', () => {
    const { message } = JSON.parse(body);
    message.content = message.content.replace(/badword/g, '***');
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ message }));
  });
});

server.listen(0, '127.0.0.1', () => console.log(`ready on http://127.0.0.1:${server.address().port}`));
