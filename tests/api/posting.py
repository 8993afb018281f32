"""Short words for what the tests of uploads do again and again."""

from __future__ import annotations

import socket
import time
from typing import Any

import httpx
import psutil
from sqlalchemy import select

from catalog.session import reading
from catalog.settings import settings
from catalog.tables import Dataset
from tests.api.lab import Lab

TABLE = "x,colour,label\n" + "1,red,a\n2,blue,b\n,red,a\n4,blue,b\n"


def upload(lab: Lab, content: bytes | str = TABLE, **fields: Any) -> httpx.Response:
    files = {"file": ("table.csv", content)}
    return lab.client.post("/v1/datasets", files=files, data=fields, timeout=110)


def added(lab: Lab, content: bytes | str = TABLE, **fields: Any) -> dict[str, Any]:
    answer = upload(lab, content, **fields)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def form(content: str) -> bytes:
    head = (
        '--x\r\nContent-Disposition: form-data; name="file"; filename="t.csv"\r\n\r\n'
    )
    return (head + content + "\r\n--x--\r\n").encode()


def left_on_disk() -> set[str]:
    """Return what uploads left in the data folder, but for the lock itself."""
    data = settings().folder
    found = [*data.glob("uploads/*"), *data.glob("datasets/*")]
    return {str(path.relative_to(data)) for path in found} - {"datasets/.lock"}


def rows_of_uploads(lab: Lab) -> list[str]:
    with reading() as session:
        ids = session.scalars(select(Dataset.id).where(Dataset.deleted_at.is_(None)))
        return [i for i in ids if i not in {lab.digits, lab.flowers}]


def wait_until(met: Any, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def start_upload(url: str, body: bytes, declared: int) -> socket.socket:
    """Send a request and part of its body; leave the connection open."""
    host, port = url.removeprefix("http://").split(":")
    sender = socket.create_connection((host, int(port)))
    head = (
        f"POST /v1/datasets HTTP/1.1\r\nHost: {host}\r\nContent-Length: {declared}\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    )
    sender.sendall(head.encode() + body)
    return sender


def readers() -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children():
        try:
            if "catalog.ingest.reader" in process.cmdline():
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found
