"""A server that misbehaves on demand."""

import threading
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    """Serves ``content`` under every name; the folder in the path says how.

    ``requests`` lists the path of each request for content, ``sent`` counts
    the bytes of bodies, ``changed`` is when ``dated`` content did.
    """

    daemon_threads = True

    def __init__(self, content):
        super().__init__(('127.0.0.1', 0), Handler)
        self.content = content
        self.changed = 0
        self.requests = []
        self.sent = 0
        self.cut_after = len(content) // 2
        self.released = threading.Event()

    def url(self, behaviour, name='weights.pth'):
        return f'http://127.0.0.1:{self.server_port}/{behaviour}/{name}'

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
        self.server.requests.append(self.path)
        getattr(self, behaviour.replace('-', '_'))()

    def do_HEAD(self):
        if self.path.split('/')[1] != 'dated':
            return self.send_error(501)
        self.send_response(200)
        self.send_header('Last-Modified', formatdate(self.server.changed, usegmt=True))
        self.end_headers()

    def log_message(self, *args):
        pass

    def answer(self, body, status=200, length=None):
        self.send_response(status)
        if length != 'unknown':
            self.send_header('Content-Length', str(len(body) if length is None else length))
        self.end_headers()
        self.server.sent += len(body)
        self.wfile.write(body)

    def good(self):
        self.answer(self.server.content)

    dated = good

    def cut_once(self):
        """The connection breaks in the middle of the first answer."""
        upto = self.server.cut_after if len(self.server.requests) == 1 else None
        self.answer(self.server.content[:upto], length=len(self.server.content))

    def truncated(self):
        """Every connection breaks in the middle."""
        self.answer(self.server.content[: self.server.cut_after], length=len(self.server.content))

    def truncated_in_silence(self):
        """The connection breaks in the middle, and there is no Content-Length."""
        self.answer(self.server.content[: self.server.cut_after], length='unknown')

    def other_range(self):
        """A part that nobody asked for."""
        self.answer(self.server.content[: self.server.cut_after], 206)

    def huge(self):
        """More than any disk has."""
        self.answer(self.server.content, length=1 << 60)

    def endless(self):
        """More than it says, which is nothing."""
        self.answer(self.server.content * 100, length='unknown')

    def missing(self):
        self.answer(b'no such file', 404)

    def busy_once(self):
        if len(self.server.requests) == 1:
            return self.answer(b'', 503)
        self.good()

    def wrong(self):
        """A page that says something else, without a word of failure."""
        self.answer(b'<html>please log in</html>')

    def moved(self):
        self.send_response(302)
        self.send_header('Location', self.path.replace('moved', 'good'))
        self.send_header('Content-Length', '0')
        self.end_headers()

    def moved_to_disk(self):
        """A redirection to a file of the user's."""
        self.send_response(302)
        self.send_header('Location', 'file:///etc/passwd')
        self.send_header('Content-Length', '0')
        self.end_headers()

    def silent(self):
        """No answer at all."""
        self.server.released.wait(30)
        self.close_connection = True

    def stalls(self):
        """Half of the answer, and no more."""
        self.truncated()
        self.wfile.flush()
        self.silent()

    def slow(self):
        """Waits until the test lets it go."""
        self.server.released.wait(30)
        self.good()
