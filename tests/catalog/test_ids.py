"""Ids sort by time, and places lie where the rows say."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy.dialects.sqlite import dialect

from catalog import folders, ids
from catalog.clock import Moment
from catalog.settings import Settings, settings


def test_ids_sort_in_the_order_in_which_they_were_made() -> None:
    made = [ids.new_id("job") for _ in range(10_000)]

    assert made == sorted(made)
    assert len(set(made)) == 10_000


@pytest.mark.parametrize("noun", ["job", "ds", "mdl"])
def test_an_id_says_what_it_names(noun: ids.Noun) -> None:
    assert re.fullmatch(noun + "_[0-9a-hjkmnp-tv-z]{26}", ids.new_id(noun))


def test_an_id_holds_a_version_seven_uuid_of_now() -> None:
    number = 0
    for digit in ids.new_id("ds").removeprefix("ds_"):
        number = number * 32 + ids._ALPHABET.index(digit)

    seconds = (number >> 80) / 1000
    assert (number >> 76) & 0xF == 7
    assert (number >> 62) & 0b11 == 0b10
    assert abs(datetime.now(UTC).timestamp() - seconds) < 60


def test_a_time_without_a_zone_is_not_stored() -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 - the fault under test

    with pytest.raises(ValueError, match="has no time zone"):
        Moment().process_bind_param(naive, dialect())


def test_folders_are_relative_to_the_data_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FROSTLINE_DATA", str(tmp_path))
    settings.cache_clear()

    assert folders.checkpoints("job_1", 2) == "jobs/job_1/a2/checkpoints"
    assert folders.log("job_1", 2) == "jobs/job_1/a2/log.txt"
    assert folders.dataset("ab") == "datasets/ab"
    assert folders.absolute(folders.model("job_1", 2)) == tmp_path / "models/job_1-a2"
    settings.cache_clear()


def test_the_database_lies_in_the_data_folder_unless_an_address_is_given(
    tmp_path: Path,
) -> None:
    plain = Settings(data=tmp_path)
    given = Settings(data=tmp_path, database_url="postgresql+psycopg://db/frostline")

    assert plain.url == f"sqlite:///{tmp_path}/frostline.db"
    assert given.url == "postgresql+psycopg://db/frostline"
    assert (plain.grace_seconds, Settings(sweep_grace_seconds=3).grace_seconds) == (
        60,
        3,
    )
