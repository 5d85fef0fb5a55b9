"""An object store in memory that answers the S3 requests of `pyarrow.fs` over HTTP, for tests without a network.

Buckets exist once they are named. Objects appear whole: a multipart upload is visible once it is completed.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

CHANGED = "Fri, 27 Nov 2026 12:00:00 GMT"
CHANGED_ISO = "2026-11-27T12:00:00.000Z"
NO_HEADERS: Mapping[str, str] = {}


class ObjectStore:
    """The objects by `bucket/key`, and the requests that arrived, as `METHOD path`."""

    def __init__(self, port: int, buckets: tuple[str, ...]) -> None:
        self.port = port
        self.buckets = buckets
        self.objects: dict[str, bytes] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.requests: list[str] = []
        self.failing = False
        """Whether every request gets 403."""

    def uri(self, path: str) -> str:
        """The root of a log at `bucket/prefix`."""
        return f"s3://{path}?region=us-east-1&scheme=http&endpoint_override=127.0.0.1:{self.port}"


@contextmanager
def object_store(*buckets: str) -> Iterator[ObjectStore]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    store = ObjectStore(server.server_address[1], buckets)
    server.store = store  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._get()

    def do_GET(self) -> None:
        self._get()

    def _get(self) -> None:
        store, path, query = self._request()
        if store.failing:
            self._answer(403, _error("AccessDenied"))
        elif "/" not in path.rstrip("/"):
            if path.rstrip("/") not in store.buckets:
                self._answer(404, _error("NoSuchBucket"))
            elif self.command == "GET":
                self._answer(200, _listing(store, path.rstrip("/"), query))
            else:
                self._answer(200)
        elif path not in store.objects:
            self._answer(404, _error("NoSuchKey"))
        else:
            data, status, headers = store.objects[path], 200, {"Last-Modified": CHANGED, "ETag": '"1"'}
            if wanted := self.headers.get("Range"):
                first, _, last = wanted.removeprefix("bytes=").partition("-")
                status, end = 206, min(int(last or len(data)) + 1, len(data))
                headers["Content-Range"] = f"bytes {first}-{end - 1}/{len(data)}"
                data = data[int(first) : end]
            self._answer(status, data, headers)

    def do_PUT(self) -> None:
        store, path, query = self._request()
        body = self._body()
        if store.failing:
            self._answer(403, _error("AccessDenied"))
        elif "uploadId" in query:
            store.uploads[query["uploadId"]][int(query["partNumber"])] = body
            self._answer(200, headers={"ETag": f'"{query["partNumber"]}"'})
        else:
            store.objects[path] = body
            self._answer(200, headers={"ETag": '"1"'})

    def do_POST(self) -> None:
        store, path, query = self._request()
        body = self._body()
        bucket = path.partition("/")[0]
        if store.failing:
            self._answer(403, _error("AccessDenied"))
        elif "uploads" in query:
            name = f"upload-{len(store.uploads)}"
            store.uploads[name] = {}
            told = f"<Bucket>{bucket}</Bucket><Key>{escape(path)}</Key><UploadId>{name}</UploadId>"
            self._answer(200, _xml("InitiateMultipartUploadResult", told))
        elif "uploadId" in query:
            parts = store.uploads.pop(query["uploadId"])
            store.objects[path] = b"".join(parts[number] for number in sorted(parts))
            self._answer(200, _xml("CompleteMultipartUploadResult", '<ETag>"1"</ETag>'))
        else:  # delete several
            keys = [each.text or "" for each in ElementTree.fromstring(body).iter() if each.tag.endswith("Key")]
            for key in keys:
                store.objects.pop(f"{bucket}/{key}", None)
            self._answer(200, _xml("DeleteResult", ""))

    def do_DELETE(self) -> None:
        store, path, query = self._request()
        if "uploadId" in query:
            store.uploads.pop(query["uploadId"], None)
        store.objects.pop(path, None)
        self._answer(204)

    def _request(self) -> tuple[ObjectStore, str, dict[str, str]]:
        store: ObjectStore = self.server.store  # type: ignore[attr-defined]
        url = urlsplit(self.path)
        store.requests.append(f"{self.command} {self.path}")
        query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        return store, unquote(url.path).lstrip("/"), query

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline().partition(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "aws-chunked" not in self.headers.get("Content-Encoding", ""):
            return body
        plain = b""
        while True:
            head, _, body = body.partition(b"\r\n")
            size = int(head.partition(b";")[0], 16)
            if not size:
                return plain
            plain, body = plain + body[:size], body[size + 2 :]

    def _answer(self, status: int, body: bytes = b"", headers: Mapping[str, str] = NO_HEADERS) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _listing(store: ObjectStore, bucket: str, query: dict[str, str]) -> bytes:
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    names = sorted(name.removeprefix(f"{bucket}/") for name in list(store.objects) if name.startswith(f"{bucket}/"))
    found, folders = "", dict[str, None]()
    for name in (name for name in names if name.startswith(prefix)):
        rest = name[len(prefix) :]
        if delimiter and delimiter in rest:
            folders[prefix + rest.partition(delimiter)[0] + delimiter] = None
            continue
        size = len(store.objects[f"{bucket}/{name}"])
        found += (
            f"<Contents><Key>{escape(name)}</Key><LastModified>{CHANGED_ISO}</LastModified><ETag>1</ETag>"
            f"<Size>{size}</Size></Contents>"
        )
    for folder in folders:
        found += f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>"
    head = f"<Name>{bucket}</Name><Prefix>{escape(prefix)}</Prefix><IsTruncated>false</IsTruncated>"
    return _xml("ListBucketResult", head + found)


def _xml(name: str, inner: str) -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8"?><{name}>{inner}</{name}>'.encode()


def _error(code: str) -> bytes:
    return _xml("Error", f"<Code>{code}</Code><Message>{code}</Message>")
