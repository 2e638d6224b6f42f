"""Counts identifiers that are participles or old-fashioned words: `python tools/vocabulary.py [--limit N] [--list] [FOLDER ...]`.

A name says what it holds: `texts`, not `given`; `result`, not `found`. `docs/glossary.md` has the words to use instead.
The count is over every name that the code binds (functions, classes, arguments, variables, attributes), each time that it is bound.
A name counts when all of it is such a word; `is_closed` or `cached_tokens` say what was done to what, and do not.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

PARTICIPLES = frozenset(
    """begun bound broken brought built caught chosen come cut done drawn driven fallen felt found fixed flown forgotten forgiven
    given gone got gotten grown had heard held hidden kept known laid lain learnt left lent let lost made meant met paid put
    quoted read said seen sent set shown shut sold spelled spelt spent split spoken spread stolen stood struck sunk sworn taken
    taught thought thrown told torn understood unknown unseen unspoken withdrawn won worn woven written wrought""".split()
) - frozenset("bound cut done hidden left let put read set spent split unknown".split())
"""Irregular participles; the regular ones end in -ed. Those that are also everyday words of the field are not counted."""

STANDARD = frozenset(
    """embed feed need seed speed shed bleed breed exceed proceed succeed
    accepted allowed cached cancelled closed completed consumed converted created decoded deprecated disconnected elapsed embedded
    enabled encoded ended entered estimated evaluated excluded expanded expected failed finished formatted generated granted installed locked
    matched merged modified named nested normalized opened parsed prepared processed registered rendered required reserved resolved
    reversed selected serialized shared sorted started streamed truncated typed unauthorized undefined unexpected unopened unpriced
    untyped unused updated used waited weighted wrapped yielded""".split()
)
"""Words in -ed that are the field's own: verbs and nouns, states of a job, and what httpx, starlette, click and pydantic call things.

`formatted` is the name of a parameter of LlamaIndex's models."""

OLD_FASHIONED = frozenset(
    """ask asker asking asks beginning beginnings beside edge few grave graves habit habits heed here hence holder home homes
    keeper learns least ledger lesson lessons look looks lore maker manner manners mind moot more most near nothing now once
    other others ours own patience piece pieces place places plain quest rather room scene seeming shelf shelves somebody
    something speak speaker speaks spool stretch sure talk talks tell tells theirs there thing things thought thoughts throughout
    told turns usual whole wholly whose why word words worth""".split()
) - frozenset("ledger spool turns word words edge other others now near more".split())


def identifiers(tree: ast.AST) -> Iterator[str]:
    """Yields every name that a module binds."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.ExceptHandler | ast.alias):
            yield (node.name if isinstance(node, ast.ExceptHandler) else node.asname) or ""


def is_counted(name: str) -> bool:
    """Tells whether a name is one participle or old-fashioned word and nothing else."""
    word = name.strip("_").lower()
    regular = re.fullmatch(r"[a-z]{2,}ed", word) is not None and word not in STANDARD
    return regular or word in PARTICIPLES or word in OLD_FASHIONED


def main() -> int:
    """Prints the count for each folder; the exit code is 1 when the total is above the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, default=[Path("together_adapters"), Path("integrations")])
    parser.add_argument("--limit", type=float, help="names per 1,000 above which the exit code is 1")
    parser.add_argument("--list", action="store_true", help="print the names, by file")
    options = parser.parse_args()
    total, counted = 0, Counter[str]()
    for folder in options.folders:
        for path in sorted(folder.rglob("*.py")) if folder.is_dir() else [folder]:
            names = [name for name in identifiers(ast.parse(path.read_text("utf-8"))) if name]
            hits = Counter(name for name in names if is_counted(name))
            total, counted = total + len(names), counted + hits
            if options.list and hits:
                print(path, *(f"{name}:{count}" for name, count in hits.most_common()))
    rate = 1000 * counted.total() / max(total, 1)
    print(f"{counted.total()} of {total:,} identifiers: {rate:.1f} per 1,000. Most frequent:", *dict(counted.most_common(12)))
    return options.limit is not None and rate > options.limit


if __name__ == "__main__":
    sys.exit(main())
