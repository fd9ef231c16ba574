"""What was measured, as tables for people and as JSON for programs."""

import os
import platform
import statistics
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.run import Entry, Measured

Numbers = list[float]


def median_and_band(values: Numbers) -> tuple[float, float, float]:
    """Return median, smallest and largest."""
    return statistics.median(values), min(values), max(values)


def is_shoal(entry: Entry) -> bool:
    """Return whether it is shoal, with any instruction set."""
    return entry.contender.split(",")[0] == "shoal"


def find(measured: Measured, name: str, threads: int) -> Entry | None:
    """Return the entry of a contender that ran, if there is one."""
    return next((e for e in measured.entries if (e.contender, e.threads) == (name, threads) and e.gflops), None)


def best_peer(measured: Measured, by_hand: bool) -> Entry | None:
    """Return the peer with the highest median speed, of all or of those not written by hand."""
    peers = [e for e in measured.entries if not is_shoal(e) and e.way is not None and e.gflops]
    peers = [e for e in peers if by_hand or not e.ways[str(e.way)]["by_hand"]]
    return max(peers, key=lambda e: statistics.median(e.gflops), default=None)


def ratios(above: Entry, below: Entry) -> Numbers:
    """Return the ratio of speeds of each round."""
    return [a / b for a, b in zip(above.gflops, below.gflops, strict=True)]


def summary(measured: Measured, name: str = "shoal") -> dict[str, Any]:
    """Return what a case comes down to for shoal (or shoal with another instruction set); absent: did not run."""
    case, mine = measured.case, find(measured, name, measured.threads)
    found: dict[str, Any] = {"case": case.name, "dtype": measured.dtype, "threads": measured.threads, "name": name}
    if mine is not None:
        peaks = measured.peaks[name]
        found["gflops"] = statistics.median(mine.gflops)
        found["peak"] = statistics.median(peaks)
        found["share_of_peak"] = median_and_band([g / p for g, p in zip(mine.gflops, peaks, strict=True)])
        found["network_steps_per_second"] = found["gflops"] * 1e9 / case.flops * case.networks
    for which, by_hand in (("best_peer", True), ("best_library_form", False)):
        peer = best_peer(measured, by_hand)
        if peer is None:
            continue
        found[which] = {"contender": peer.contender, "way": peer.way, "gflops": statistics.median(peer.gflops)}
        if mine is not None:
            ratio = median_and_band(ratios(mine, peer))
            found[which] |= {"ratio": ratio, "verdict": verdict(*ratio[1:])}
    single = find(measured, name, 1)
    if mine is not None and single is not None and measured.threads > 1:
        found["scaling_from_one_thread"] = median_and_band(ratios(mine, single))
    return found


def summaries(measured: Measured) -> list[dict[str, Any]]:
    """Return the summary of each shoal that ran; where none did, that of the peers."""
    return [summary(measured, name) for name in measured.peaks or {"shoal": []}]


def verdict(least: float, most: float) -> str:
    """Return ``win`` or ``loss`` only where every round's ratio says so."""
    return "win" if least > 1 else "loss" if most < 1 else "open"


def band(values: tuple[float, float, float], digits: int = 2) -> str:
    """Format median and band."""
    return f"{values[0]:.{digits}f} ({values[1]:.{digits}f}..{values[2]:.{digits}f})"


def held(values: Numbers, claims: bool) -> str:
    """Format ratios of rounds with what they come to, or nothing where no claim is to be made or none was taken."""
    if not claims or not values:
        return "-"
    ratio = median_and_band(values)
    return f"{band(ratio)} {verdict(*ratio[1:])}"


def against(peer: dict[str, Any] | None, claims: bool) -> str:
    """Format a peer, its speed, and the ratio to it with the verdict."""
    if peer is None:
        return "-"
    text = f"{peer['contender']} {peer['gflops']:.1f} GFLOP/s"
    if not claims or "ratio" not in peer:
        return text
    return f"{text}: {band(peer['ratio'])} {peer['verdict']}"


def contenders_table(results: list[Measured]) -> Table:
    """Return one line for each contender at each case."""
    table = Table(title="Speed: median of the rounds; FLOPs by one rule for all; peak measured between the rounds")
    for name in ("case", "dtype", "contender", "way", "steps", "GFLOP/s", "% peak"):
        table.add_column(name, justify="left" if name in ("case", "dtype", "contender", "way") else "right")
    table.add_column("network-steps/s", justify="right")
    table.add_column("gap / bound", justify="right")
    for result in results:
        for entry in result.entries:
            head = (result.case.name, result.dtype, f"{entry.contender} @{entry.threads}")
            if entry.way is None or entry.verdict is None:
                table.add_row(*head, "[red]no way gave the right answer[/red]")
                continue
            speed = statistics.median(entry.gflops)
            # The peak is that of all threads of the run: the one-thread entry, there for scaling, has no fraction of
            # it.
            peaks = result.peaks.get(entry.contender) or result.peaks.get("shoal")
            of = statistics.median(peaks) if peaks and entry.threads == result.threads else None
            table.add_row(
                *head,
                entry.way,
                str(entry.steps),
                f"{speed:.2f}",
                f"{100 * speed / of:.1f}" if of else "-",
                f"{speed * 1e9 / result.case.flops * result.case.networks:.3g}",
                f"{entry.verdict.gap:.0e} / {entry.verdict.ratio:.2f}",
            )
        table.add_section()
    return table


def summary_table(results: list[Measured], claims: bool) -> Table:
    """Return one line a case: shoal against the best peer, its fraction of the peak, its scaling, its working set."""
    table = Table(title="shoal against the best peer: median (band) of the ratios round by round")
    for name in ("case", "d, hidden, n, networks", "dtype", "threads", "best peer", "best without hand-written parts"):
        table.add_column(name)
    for name in ("% of FMA peak", "FMA GFLOP/s", "scaling from 1 thread", "pack"):
        table.add_column(name, justify="right")
    for result in results:
        for found in summaries(result):
            pack = result.pack
            share = [100 * s for s in found.get("share_of_peak", ())]
            table.add_row(
                result.case.name + found["name"].removeprefix("shoal"),
                result.case.shape,
                result.dtype,
                str(result.threads),
                against(found.get("best_peer"), claims),
                against(found.get("best_library_form"), claims),
                band((share[0], share[1], share[2]), 1) if share else "-",
                f"{found['peak']:.1f}" if share else "-",
                band(found["scaling_from_one_thread"]) if "scaling_from_one_thread" in found else "-",
                f"{pack['bytes'] / 1024:.1f} KiB / {pack['networks']}" if pack else "-",
            )
    return table


def troubles(results: list[Measured]) -> list[str]:
    """Return one line for each way that failed or whose answer is not the right one."""
    lines = []
    for result in results:
        # A contender with two entries has one list of ways.
        for entry in {(e.contender, e.threads): e for e in result.entries}.values():
            for name in entry.wrong:
                way = entry.ways[name]
                why = way.get("error") or (
                    f"gap {way['gap']:.3g}, {way['ratio']:.3g} of its bound; {way['checked']:.0%} of networks checked"
                )
                lines.append(f"{result.case.name} {result.dtype} {entry.contender} @{entry.threads}, {name}: {why}")
    return lines


def machine() -> dict[str, Any]:
    """Return what the numbers were measured on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "cpu": model or platform.processor() or platform.machine(),
        "cpus": cpus,
        "load_before": load,
        "system": platform.platform(),
        "isa_forced": os.environ.get("SHOAL_ISA"),
    }


def numbers(results: list[Measured]) -> list[dict[str, Any]]:
    """Return everything measured, every round included, as JSON takes it; each contender's ways once."""
    found = []
    for result in results:
        ways = {
            f"{entry.contender} @{entry.threads}": {
                name: {key: way[key] for key in ("gflops", "ratio", "passed", "error") if key in way}
                for name, way in entry.ways.items()
            }
            for entry in result.entries
        }
        entries = [
            {"contender": e.contender, "threads": e.threads, "way": e.way, "steps": e.steps, "gflops": e.gflops}
            for e in result.entries
        ]
        found.append(
            {
                "case": asdict(result.case) | {"flops": result.case.flops, "shape": result.case.shape},
                "dtype": result.dtype,
                "threads": result.threads,
                "peaks": result.peaks,
                "pack": result.pack,
                "ways": ways,
                "entries": entries,
                "summaries": summaries(result),
            }
        )
    return found


NOTE = (
    "shoal's time is that of the whole call: checks, initial weights drawn in the core, final loss, data set. "
    "Compilation is not in the peers' times."
)


def about_memory(memory: dict[str, Any]) -> str:
    """Return what was found about memory, in words."""
    return (
        f"Memory: {memory['networks']:,} networks of the paper case, {memory['steps']} steps, loss and error at "
        f"{memory['records']} times: peak {memory['peak_bytes'] / 1e6:.0f} MB, of which "
        f"{memory['before_bytes'] / 1e6:.0f} MB before the run (Python and libraries) and "
        f"{memory['result_bytes'] / 1e6:.0f} MB are the result."
    )


def tables(results: list[Measured], claims: bool) -> list[Table]:
    """Return the tables of a run: what it comes down to, and every contender."""
    return [summary_table(results, claims), contenders_table(results)]


def tell(console: Console, troubles: list[str]) -> None:
    """Print the ways that failed or were wrong."""
    for line in troubles:
        console.print(f"[red]not right:[/red] {escape(line)}")
