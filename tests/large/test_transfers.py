"""Uploads in parts and downloads that are killed: with files slightly larger than the allowed memory, and, slow, with gigabytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.large.transfers import download, upload

MIB = 2**20
MAXIMUM = 90 * MIB


@pytest.mark.parametrize(
    ("flavour", "http_library"),
    [
        ("sync", "httpx"),
        ("async", "httpx2"),
        pytest.param("sync", "httpx2", marks=pytest.mark.slow),
        pytest.param("async", "httpx", marks=pytest.mark.slow),
    ],
)
def test_an_upload_in_parts_within_little_memory(flavour: str, http_library: str, tmp_path: Path) -> None:
    upload(tmp_path, flavour, MAXIMUM + 5 * MIB, str(10 * MIB), maximum=MAXIMUM, http_library=http_library)


@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_a_download_that_is_killed_twice_arrives_whole(flavour: str, tmp_path: Path) -> None:
    download(tmp_path, flavour, 40 * MIB, "0.004", maximum=MAXIMUM)


@pytest.mark.slow
@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_an_upload_of_6_gb_within_200_mib(flavour: str, tmp_path: Path) -> None:
    upload(tmp_path, flavour, 6_000_000_000)


@pytest.mark.slow
@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_a_download_of_1_gb_that_is_killed_twice(flavour: str, tmp_path: Path) -> None:
    download(tmp_path, flavour, 1_000_000_000)
