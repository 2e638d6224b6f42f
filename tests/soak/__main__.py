"""`python -m tests.soak --calls 100000`: prints a table of kinds and a verdict; exit code 1 on any violation."""

from __future__ import annotations

import argparse
import sys
import time
import warnings

from tests.soak.calls import prepare
from tests.soak.kinds import KINDS
from tests.soak.run import Soak
from tests.soak.server import running


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--calls", type=int, default=100_000, help="calls, half of them on either client")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", nargs="*", default=[], metavar="NAME", help="only kinds whose name contains one of these")
    parser.add_argument("--flavour", choices=["sync", "async", "both"], default="both")
    parser.add_argument("--http-library", choices=["httpx", "httpx2"], default="httpx")
    options = parser.parse_args()
    kinds = [kind for kind in KINDS if not options.kinds or any(name in kind.name for name in options.kinds)]
    if not kinds:
        parser.error("no kind has such a name")
    prepare()
    warnings.simplefilter("error")
    start = time.monotonic()
    with running() as server:
        flavours = ["sync", "async"] if options.flavour == "both" else [options.flavour]
        soak = Soak(server, kinds, options.seed, flavours, options.http_library)
        soak.run(options.calls)
    print_report(soak, time.monotonic() - start)
    return 1 if soak.violations else 0


def print_report(soak: Soak, seconds: float) -> None:
    width = max(map(len, soak.rows))
    print(f"{'kind':{width}} {'calls':>6} {'right':>6} {'requests':>8}  errors")
    for name, row in soak.rows.items():
        errors = ", ".join(f"{error} {count}" for error, count in row.errors.most_common())
        print(f"{name:{width}} {row.calls:6} {row.answers:6} {row.requests:8}  {errors}")
    rows = soak.rows.values()
    requests, answers = sum(row.requests for row in rows), sum(row.answers for row in rows)
    calls = f"{soak.calls:,} calls ({soak.adapter_calls:,} through the adapters)"
    print(f"\n{len(soak.rows)} kinds, {calls}, {answers:,} right answers, {requests:,} requests, {seconds:.0f} s")
    if soak.unsent:
        print(f"{soak.unsent} calls of paid work met a connection that had died, and were not sent again")
    print(f"\n{'after calls':>12} {'RSS MB':>8} {'trimmed':>8} {'descriptors':>12} {'threads':>8} {'objects':>10}")
    for sample in soak.samples:
        print(
            f"{sample.calls:12,} {sample.megabytes:8.1f} {sample.trimmed:8.1f} {sample.descriptors:12} {sample.threads:8} {sample.objects:10,}"
        )
    if (growth := soak.growth()) is not None:
        print(f"RSS per 10,000 calls, over the second half, trimmed: {growth:+.2f} MB")
        print(
            "Where the number of objects stays the same, it is memory that the allocators keep, and pydantic's cache of short texts."
        )
    for key, count in soak.violations.most_common():
        print(f"\nVIOLATION {count} x {key}\n    {soak.examples[key][:600]}")
    print(f"\nverdict: {sum(soak.violations.values())} violations" if soak.violations else "\nverdict: every call ended right")


if __name__ == "__main__":
    sys.exit(main())
