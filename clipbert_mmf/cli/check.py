"""``clipbert check``: every medium of a store is read, and those that are bad are reported."""

from __future__ import annotations

import argparse

from tqdm import tqdm

from clipbert_mmf.cli.engine_options import choose_ray
from clipbert_mmf.cli.printing import print_result
from clipbert_mmf.processes import count_cores
from clipbert_mmf.shown_text import escape_text
from clipbert_mmf.video.check import check_into_folder
from clipbert_mmf.video.findings import Finding


def run(options: argparse.Namespace) -> int:
    """Check a store with a progress bar; return 0 if all media are good, 1 if some are bad."""
    # The bar appears once the store is open: an error before that is one line.
    bars: list[tqdm] = []

    def start(num_media: int, num_known: int) -> None:
        bars.append(tqdm(total=num_media, initial=num_known, unit="file", desc="checking"))

    def show(finding: Finding) -> None:
        bars[0].update()
        if finding.reason:
            bars[0].write(escape_text(f"{finding.key}: {finding.reason}"))

    totals = check_into_folder(
        options.store,
        options.output,
        num_workers=options.workers or count_cores(),
        num_random=options.random,
        timeout_sec=options.timeout,
        is_fresh=options.fresh,
        media=options.media,
        backend=options.backend,
        mapper=choose_ray(options),
        on_start=start,
        on_finding=show,
    )
    bars[0].close()
    content = {"num_media": totals.num_media, "num_bad": totals.num_bad, "output": str(options.output)}
    print_result(
        options, content, [f"{totals.num_bad} of {totals.num_media} media are bad; see {options.output}"]
    )
    return 1 if totals.num_bad else 0
