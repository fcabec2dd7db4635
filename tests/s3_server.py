"""An S3-speaking server on loopback, for tests: `python tests/s3_server.py`, which prints its port.

moto's, with one request at a time: S3 decides conditional puts one after another, and a threaded moto would not.
"""

from __future__ import annotations

import logging

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

if __name__ == "__main__":
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=False)
    print(server.port, flush=True)
    server.serve_forever()
