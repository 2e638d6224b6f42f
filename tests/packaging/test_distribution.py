"""The distribution: three typed packages, and nothing that points at other vendors or at a registry."""

from __future__ import annotations

import importlib.util
import re
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("together_adapters", "integrations/langchain_together_adapters", "integrations/llama_index_together_adapters")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def sources() -> list[Path]:
    return [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]


def test_three_packages_are_typed_and_shipped() -> None:
    assert sorted(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == sorted(PACKAGES)
    assert [package for package in PACKAGES if not (ROOT / package / "py.typed").is_file()] == []


def test_the_wheel_holds_the_three_packages(tmp_path: Path) -> None:
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling, which builds the wheel, is not installed here")
    from hatchling.builders.wheel import WheelBuilder

    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    names = set(zipfile.ZipFile(wheel).namelist())
    roots = {name.partition("/")[0] for name in names if ".dist-info" not in name}
    assert roots == {package.rpartition("/")[2] for package in PACKAGES}
    assert {f"{root}/py.typed" for root in roots} <= names
    assert not [name for name in names if "conformance" in name or name.rpartition("/")[2].startswith("test_")]
    wheel_files = {str(file.relative_to(ROOT)).removeprefix("integrations/") for file in sources()}
    assert wheel_files <= names
    assert {name for name in names if name.endswith((".json", ".toml", ".txt"))} >= {
        "together_adapters/demo/questions.txt",
        "together_adapters/types/models.json",
        "together_adapters/emulator/store/facts.toml",
        "together_adapters/emulator/text/words.toml",
    }
    assert any(name.endswith("/LICENSE") for name in names)


def test_the_sdist_holds_every_page_that_the_readme_links(tmp_path: Path) -> None:
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling, which builds the sdist, is not installed here")
    from hatchling.builders.sdist import SdistBuilder

    (sdist,) = SdistBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    links = {link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", (ROOT / "README.md").read_text("utf-8"))}
    files = {link for link in links if link and "://" not in link}
    assert len(files) > 5
    assert files - names - {"tests/llama_index/conformance/__init__.py"} == set()  # tests are not shipped
    assert {"pyproject.toml", "together_adapters/client.py", "cookbook/README.md"} <= names


def test_core_dependencies_are_few() -> None:
    names = {requirement.partition(">")[0].partition("=")[0].strip() for requirement in PROJECT["project"]["dependencies"]}
    assert names == {"httpx", "pydantic", "filelock"}


def test_extras_are_these() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    assert {
        "langchain",
        "llama-index",
        "numpy",
        "emulator",
        "cli",
        "aiohttp",
        "finetune",
        "datasets",
        "ray",
        "all",
    } <= extras.keys()
    assert not any(heavy in " ".join(extras["all"]) for heavy in ("ray", "datasets", "openai"))
    every = " ".join(requirement for requirements in extras.values() for requirement in requirements)
    assert not any(name in every for name in ("openai", "tiktoken", "transformers", "requests"))


def test_no_variable_of_another_vendor_is_named() -> None:
    assert [str(file) for file in sources() if "OPENAI_" in file.read_text(encoding="utf-8")] == []


def test_no_registry_is_named() -> None:
    """A configuration that named one would install nowhere else; the words here are those that it may not have."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8").lower()
    for word in ("pypi", "index-url", "extra-index", "find-links", "[[tool.uv.index", "simple/"):
        assert word not in text
    assert not {"uv", "pdm", "poetry"} & PROJECT["tool"].keys()
