"""How often a random network fails to learn exclusive or: every width from 1 to 32, every depth from 1 to 6.

    python examples/failure_surface.py

The store beside the picture keeps what was trained: rerun the command to resume. The suffix of --picture is its format,
such as .png or .pdf.
"""

import argparse
from pathlib import Path

import numpy as np

import shoal

WIDTHS = list(range(1, 33))
DEPTHS = list(range(1, 7))
EVENT = "error > 0"


def swept(networks: int, store: Path, widths: list[int] = WIDTHS, depths: list[int] = DEPTHS, steps: int = 4_000):
    """Train the networks of every condition until each one's samples are all on the right side, or to the last step."""
    corners = [[1, 1], [-1, -1], [1, -1], [-1, 1]]
    return shoal.sweep(
        shoal.Network((2, 8, 1)),
        shoal.Task(corners, [1, 1, -1, -1]),
        shoal.Gaussian(gain=np.sqrt(2)),
        method=shoal.GradientDescent(learning_rate=0.05, steps=steps, stop=("fitted", "dead")),
        record=shoal.Record(steps=[0, steps], measure=("loss", "error"), reduce=shoal.Statistics(events=(EVENT,))),
        over={"network.width": widths, "network.depth": depths},
        networks=networks,
        store=store,
        progress=lambda done, total: print(f"\r{done / total:6.1%}", end="", flush=True),
    )


def main() -> None:
    """Sweep, and draw the fraction of networks that failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=100_000, help="at each condition")
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS)
    parser.add_argument("--depths", type=int, nargs="+", default=DEPTHS)
    parser.add_argument("--steps", type=int, default=4_000)
    parser.add_argument("--store", type=Path, default=Path("failure_surface.zarr"))
    parser.add_argument("--picture", type=Path, default=Path("failure_surface.png"))
    chosen = parser.parse_args()
    data = swept(chosen.networks, chosen.store, chosen.widths, chosen.depths, chosen.steps)
    axes = shoal.plot.surface(data, EVENT, "network.width", "network.depth", scale="log")
    shoal.plot.save(axes.figure, chosen.picture, dpi=200)
    failed = data.event_count.sel(event=EVENT).isel(time=-1)
    print(f"\n{chosen.picture}: {int(failed.sum()):,} of {int(data.networks.sum()):,} networks failed")


if __name__ == "__main__":
    main()
