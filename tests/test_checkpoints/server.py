"""A server that misbehaves on demand."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    """Serves ``content`` under every name; the folder in the path says how.

    ``requests`` lists the path and the Range header of each request, ``sent``
    counts the bytes of bodies.
    """

    daemon_threads = True

    def __init__(self, content):
        super().__init__(('127.0.0.1', 0), Handler)
        self.content = content
        self.requests = []
        self.sent = 0
        self.cut_after = len(content) // 2
        self.released = threading.Event()

    def url(self, behaviour, name='weights.pth'):
        return f'http://127.0.0.1:{self.server_port}/{behaviour}/{name}'

    def paths(self):
        return [path for path, _ in self.requests]

    def __enter__(self):
        threading.Thread(target=self.serve_forever, kwargs=dict(poll_interval=0.01)).start()
        return self

    def __exit__(self, *error):
        self.released.set()
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        behaviour = self.path.split('/')[1]
        self.server.requests.append((self.path, self.headers['Range']))
        getattr(self, behaviour.replace('-', '_'))()

    def log_message(self, *args):
        pass

    def answer(self, body, status=200, length=None, **headers):
        self.send_response(status)
        if length != 'unknown':
            self.send_header('Content-Length', str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace('_', '-'), value)
        self.end_headers()
        self.server.sent += len(body)
        self.wfile.write(body)

    def answer_range(self, upto=None):
        """The range that was asked for, of which nothing after a position is sent."""
        content = self.server.content
        if self.headers['Range'] is None:
            return self.answer(content[:upto], length=len(content))
        start = int(self.headers['Range'].removeprefix('bytes=').removesuffix('-'))
        if start >= len(content):
            return self.answer(b'', 416)
        size = len(content)
        where = f'bytes {start}-{size - 1}/{size}'
        self.answer(content[start:upto], 206, length=size - start, Content_Range=where)

    def good(self):
        self.answer_range()

    def cut_once(self):
        """The connection breaks in the middle of the first answer."""
        first = len(self.server.requests) == 1
        self.answer_range(upto=self.server.cut_after if first else None)

    def truncated(self):
        """Every connection breaks in the middle."""
        self.answer_range(upto=self.server.cut_after)

    def truncated_in_silence(self):
        """The connection breaks in the middle, and there is no Content-Length."""
        self.answer(self.server.content[: self.server.cut_after], length='unknown')

    def no_range(self):
        """The first connection breaks, and there are no ranges."""
        content = self.server.content
        upto = self.server.cut_after if len(self.server.requests) == 1 else None
        self.answer(content[:upto], length=len(content))

    def other_range(self):
        content = self.server.content
        if self.headers['Range'] is None:
            return self.answer(content)
        self.answer(content, 206, Content_Range=f'bytes 0-{len(content) - 1}/{len(content)}')

    def nameless_range(self):
        if self.headers['Range'] is None:
            return self.answer(self.server.content, length='unknown')
        self.answer(self.server.content, 206)

    def missing(self):
        self.answer(b'no such file', 404)

    def busy_once(self):
        if len(self.server.requests) == 1:
            return self.answer(b'', 503)
        self.answer_range()

    def broken(self):
        self.answer(b'', 500)

    def wrong(self):
        """A page that says something else, without a word of failure."""
        self.answer(b'<html>please log in</html>')

    def moved(self):
        self.send_response(302)
        self.send_header('Location', self.path.replace('moved', 'good'))
        self.send_header('Content-Length', '0')
        self.end_headers()

    def silent(self):
        """No answer at all."""
        self.server.released.wait(30)
        self.close_connection = True

    def stalls(self):
        """Half of the answer, and no more."""
        self.answer(self.server.content[: self.server.cut_after], length=len(self.server.content))
        self.wfile.flush()
        self.silent()

    def slow(self):
        """Waits until the test lets it go."""
        self.server.released.wait(30)
        self.answer_range()
