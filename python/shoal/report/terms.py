"""The terms of the page: what they mean, and links to that from where a claim first uses them."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

from shoal.report.report import Entry, Run

__all__ = ["KINDS", "explained", "terms"]

_OF_CLAIMS = {
    "margin": (
        r"margins?",
        "Label (\N{MINUS SIGN}1 or +1) times output on a sample; with several outputs, the label's output less the "
        "largest other. A positive margin means a correct answer.",
    ),
    "mode": (
        r"modes?",
        "Samples along one direction of input space. Orthogonal modes are learnt independently of each other from a "
        "separated initialisation.",
    ),
    "frequency": (
        r"frequenc(?:y|ies)",
        "Summed weight of the samples of a mode, where the weights of all samples sum to 1.",
    ),
    "separated": (r"separated", "Initialised so that each hidden unit is active on the samples of one mode alone."),
}
"""Of each term that claims use: its forms and its definition."""

_OF_TABLES = {
    "tolerance": "Largest gap between measured and predicted that passes. A fixed rule computes it from the data.",
    "ratio": "Gap over tolerance, at the point where it is largest. At most 1 passes; the bar shows it.",
    "catches": (
        "Smallest wrong amount that fails the row. Predictions are multiplied and divided by 1.001, 1.01, 1.05, 1.2 "
        "and 2; if all are 0, they are shifted by 0.001, 0.01, 0.05, 0.2 and 1. Both ways must fail. A majority "
        "instead refutes every theory by which at most the fraction shown succeed."
    ),
}

KINDS = {
    "exact": (
        "The same networks at rate, rate/2 and rate/4 are extrapolated to rate 0. The tolerance is the last correction "
        "of the extrapolation, and halving the rate has to halve the bias."
    ),
    "flow": (
        "Gradient flow itself, integrated to a tolerance. A series may be off by that tolerance times its largest "
        "predicted value, plus a stated bias."
    ),
    "statistical": (
        "A mean over networks. The tolerance is four standard errors, or as many more as Student's t asks for with few "
        "networks, plus a stated bias."
    ),
    "fraction": (
        "A count against a probability. The tolerance is the length of the Wilson interval of four standard deviations "
        "towards the prediction, plus a stated bias."
    ),
    "majority": "A count against one half. The whole Wilson interval of four standard deviations has to lie above it.",
}
"""Of each kind of comparison: what it compares, and its tolerance."""

_FORMS = re.compile("|".join(rf"\b(?P<{name}>{forms})\b" for name, (forms, _) in _OF_CLAIMS.items()), re.I)


def terms(run: Run) -> dict[str, str]:
    """Return the definitions of the terms that the page of a run uses."""
    said = [text for entry in run.listed for text in (entry.sentence, *entry.notes)]
    statements = [row.statement for entry in run.entries for row in entry.rows]
    used = {found.lastgroup for text in said + statements for found in _FORMS.finditer(text)}
    of_claims = {name: meaning for name, (_, meaning) in _OF_CLAIMS.items() if name in used}
    return of_claims | (_OF_TABLES if statements else {})


def explained(entry: Entry) -> tuple[Markup, list[Markup]]:
    """Return the sentence and the notes of a claim; the first use of each term is a link to its definition."""
    linked = set()

    def link(found: re.Match[str]) -> str:
        if found.lastgroup in linked:
            return found[0]
        linked.add(found.lastgroup)
        return f'<a class="term" href="#term-{found.lastgroup}">{found[0]}</a>'

    sentence, *notes = (Markup(_FORMS.sub(link, str(escape(text)))) for text in (entry.sentence, *entry.notes))
    return sentence, notes
