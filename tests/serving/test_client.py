"""What the REST client sends to a proxy before the server."""

import base64
import http.server
import threading

import pytest

from hiu_tf.serving.client import ServingError, connect


def test_a_proxy_gets_user_password_and_path_and_no_message_tells_them():
    asked = []

    class Proxy(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, self.headers["Authorization"]))
            self.send_error(401)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        place = f"127.0.0.1:{proxy.server_address[1]}"
        for given in ("app:se%40cret@", ""):
            with pytest.raises(ServingError, match=f"^http://{place}/behind/v1/models/hiu answers 401"):
                connect(f"http://{given}{place}/behind/").is_ready()
        proxy.shutdown()
    basic = f"Basic {base64.b64encode(b'app:se@cret').decode()}"
    assert asked == [("/behind/v1/models/hiu", basic), ("/behind/v1/models/hiu", None)]
