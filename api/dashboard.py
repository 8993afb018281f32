"""The dashboard's files, each at its own address: what is not a file is a 404."""

from collections.abc import Callable
from pathlib import Path

from fastapi import FastAPI
from starlette.responses import FileResponse

FOLDER = Path(__file__).resolve().parent.parent / "dashboard"
INDEX = "index.html"


def mount(app: FastAPI, folder: Path = FOLDER) -> None:
    """Serve every file of the folder, and its index at ``/``."""
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder)
        if file.is_file() and not any(part.startswith(".") for part in name.parts):
            address = "/" if name.as_posix() == INDEX else f"/{name.as_posix()}"
            app.add_api_route(address, _sender(file), include_in_schema=False)


def _sender(file: Path) -> Callable[[], FileResponse]:
    def send() -> FileResponse:
        return FileResponse(file, headers={"Cache-Control": "no-cache"})

    return send
