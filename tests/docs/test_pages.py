"""Every page: its examples run on the emulator, its commands exist, its links lead somewhere."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import KEY
from tests.docs.pages import PAGES, ROOT, anchors, commands, examples, links, name_of, requirements, shell_blocks
from tests.requirements import imports, missing
from together_adapters.emulator import Emulator, serve

ELSEWHERE = {"docs/testing.md", "docs/telemetry.md"}
"""Pages whose examples other tests run: `cookbook/test_testing_page.py` and `testing/test_page.py`; `telemetry/test_exports.py`."""
NEWER = {"langchain_core.decisions": "langchain-core before 1.8 has no decisions"}
SERVERS = {"docs/embeddings-elsewhere.md", "docs/guides/gateways.md", "docs/guides/local-servers.md"}
"""Pages whose examples need a server of this machine; all others run on the emulator as they stand."""
RUNNING = [page for page in PAGES if examples(page) and name_of(page) not in ELSEWHERE]


@pytest.fixture(scope="module")
def local_server() -> Iterator[str]:
    """The URL of what stands for each server of this machine that a page names: it has any model."""
    with serve(models=["*"]) as server:
        yield server.base_url


@pytest.fixture
def no_loop() -> None:
    """Leaves the thread without an event loop: LlamaIndex would take it, or make one that nobody closes."""
    asyncio.set_event_loop(None)


@dataclass
class Reader:
    """Somebody who runs the blocks of pages, in a folder of their own."""

    local_server: str
    capsys: pytest.CaptureFixture[str]

    def run(self, page: Path) -> None:
        """Runs a page's blocks in their order, and compares what they print with what the page says."""
        shared: dict[str, Any] = {}
        own: dict[str, dict[str, Any]] = {"langchain": {}, "llama_index": {}}
        for example in examples(page):
            for module, reason in NEWER.items():
                if module in example.source:
                    pytest.importorskip(module, reason=reason)
            assert not example.names_local_server or name_of(page) in SERVERS, example.place
            frameworks = example.frameworks(own)
            place = own[frameworks.pop()] if len(frameworks) == 1 else shared
            names = shared | place
            example.run(self.local_server, {} if page.parent == ROOT else names)  # outside of the site, each block stands alone
            place.update((name, value) for name, value in names.items() if shared.get(name) is not value)
            out, err = self.capsys.readouterr()
            assert err == "", example.place
            assert bool(out.strip()) == ("print(" in example.source), example.place
            if example.output is not None:
                assert out.rstrip() == example.output.rstrip(), example.place


@pytest.fixture
def reader(
    emulator: Emulator, local_server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[Reader]:
    monkeypatch.setenv("TOGETHER_API_KEY", KEY)
    monkeypatch.setenv("TOGETHER_BASE_URL", emulator.base_url)
    monkeypatch.chdir(tmp_path)
    yield Reader(local_server, capsys)
    assert emulator.errors == []


def runs_pages(test: Callable[..., None]) -> Callable[..., None]:
    """Lets a test run blocks of the frameworks."""
    for mark in (
        pytest.mark.usefixtures("no_loop"),
        pytest.mark.filterwarnings("ignore:The anyio.abc.BlockingPortal alias"),  # old versions of starlette's test client use it
        pytest.mark.filterwarnings("ignore::DeprecationWarning:inspect"),  # workflows of LlamaIndex look at all of an agent
    ):
        test = mark(test)
    return test


@runs_pages
@pytest.mark.parametrize("page", RUNNING, ids=name_of)
def test_examples_run_and_run_again(page: Path, reader: Reader) -> None:
    reader.run(page)
    reader.run(page)


@runs_pages
@pytest.mark.slow
def test_all_pages_run_in_one_folder(reader: Reader) -> None:
    for page in RUNNING:
        reader.run(page)


@pytest.mark.parametrize("page", [page for page in PAGES if examples(page) or any(commands(page))], ids=name_of)
def test_a_page_names_what_to_install(page: Path) -> None:
    modules = {"together_adapters.emulator" if words[1] == "emulator" else "click" for words in commands(page) if words[1:]}
    modules = modules.union(*(imports(example.source) for example in examples(page)))
    assert missing(modules, requirements(page.read_text("utf-8"))) == {}


def test_pages_that_install_the_package_say_whether_it_is_released() -> None:
    unreleased = "## 0.1.0 (unreleased)" in (ROOT / "CHANGELOG.md").read_text("utf-8")
    notebooks = (ROOT / "docs" / "notebooks").glob("*.ipynb")
    texts = {name_of(page): page.read_text("utf-8").replace('\\"', '"') for page in (*PAGES, *notebooks)}
    installing = {name for name, text in texts.items() if 'pip install "together-adapters[' in text}
    assert len(installing) > 20
    notice = re.compile(r"until 0\.1\.0 is released|0\.1\.0 is not released yet", re.IGNORECASE)
    assert {name for name, text in texts.items() if notice.search(text)} == (installing if unreleased else set())


def test_tables_of_the_emulator_are_read_at_a_glance() -> None:
    text = (ROOT / "docs" / "emulator.md").read_text("utf-8")
    cells = [cell for row in re.findall(r"^\| (.*) \|$", text, re.MULTILINE) for cell in row.split(" | ")]
    assert len(cells) > 50
    assert [cell for cell in cells if len(cell) > 190 or re.search(r"\. [A-Z`]", cell)] == []


def test_blocks_that_do_not_run_are_few_and_parse() -> None:
    blocks = [(page, block) for page in PAGES for block in re.findall(r"^```py\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)]
    assert len(blocks) < 8
    for page, block in blocks:
        compile(block, name_of(page), "exec")


def test_most_pages_have_examples() -> None:
    assert len(RUNNING) > 20
    assert sum(len(examples(page)) for page in RUNNING) > 80


@pytest.mark.parametrize("page", [page for page in PAGES if any(commands(page))], ids=name_of)
def test_commands_exist_with_their_options(page: Path) -> None:
    click = pytest.importorskip("click")
    from together_adapters.cli.app import cli

    for words in commands(page):
        command: Any = cli
        context = click.Context(command)
        rest = words[1:]
        while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
            inner = command.get_command(context, rest[0])
            if inner is None:  # `usage FILE` is `usage ledger FILE`
                assert type(command) is not click.Group and words[1] == "usage", words
                rest.insert(0, command.list_commands(context)[0])
                continue
            command = inner
            rest.pop(0)
            context = click.Context(command, parent=context)
        options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        assert {word.partition("=")[0] for word in rest if word.startswith("--")} <= options | {"--help", "--version"}, words


@pytest.mark.skipif(os.name == "nt", reason="the commands are for a POSIX shell")
def test_the_training_of_the_readme_runs_as_it_stands(emulator: Emulator, tmp_path: Path) -> None:
    (block,) = (block for block in shell_blocks(ROOT / "README.md") if "ft submit" in block)
    script = re.sub(r"\bft submit\b", "ft submit --yes", block)  # which asks in a terminal
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, **emulator.environment, "PATH": path}
    done = subprocess.run(
        ["sh", "-ec", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "The job is completed" in done.stdout


@pytest.mark.parametrize("page", [*PAGES, *(ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md"))], ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists() or (target.parent.name, target.suffix) == ("notebooks", ".md"), link
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), link
