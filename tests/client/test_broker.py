"""The embedded broker: found, started with a password, and asked whether it answers."""

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from frostline.broker import Broker, server
from frostline.errors import NoBroker
from frostline.processes import Program, Watched
from tests.client.test_processes import eventually


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a data folder whose name needs quoting."""
    found = tmp_path / 'a "data" folder'
    (found / "run").mkdir(parents=True)
    return found


@pytest.fixture
def running(folder: Path) -> Iterator[Broker]:
    """Return a broker that answers."""
    broker = Broker(folder)
    log = folder / "broker.log"
    watched = Watched(
        Program("broker", broker.command(), dict(os.environ), folder, log, 5.0)
    )
    assert eventually(broker.answers)
    yield broker
    watched.kill()


def test_the_broker_takes_its_address_with_the_password(running: Broker) -> None:
    with redis.Redis.from_url(running.url) as client:
        assert client.ping()
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("maxmemory-policy") == {
            "maxmemory-policy": "noeviction"
        }


def test_the_broker_refuses_a_stranger(running: Broker) -> None:
    stranger = running.url.replace("redis://:", "redis://:not-")
    refused = pytest.raises(redis.exceptions.AuthenticationError)
    with redis.Redis.from_url(stranger) as client, refused:
        client.ping()


def test_its_files_lie_under_the_data_folder(running: Broker, folder: Path) -> None:
    assert eventually(lambda: list((folder / "redis").glob("appendonlydir/*.manifest")))


def test_only_the_owner_reads_the_password(running: Broker, folder: Path) -> None:
    mode = (folder / "run" / "broker.conf").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_a_broker_that_is_not_there_does_not_answer(folder: Path) -> None:
    assert not Broker(folder).answers()


def test_a_server_on_the_path_comes_before_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "valkey-server"
    shutil.copy(shutil.which("true") or "", program)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert server() == program


def test_no_server_at_all_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("frostline.broker.find_spec", lambda _: None)
    with pytest.raises(NoBroker, match="install one of them"):
        server()
