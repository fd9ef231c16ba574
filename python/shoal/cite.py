"""BibTeX of shoal and of the papers whose theory it is compared with."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from shoal.version import VERSION

__all__ = ["PAPERS", "Reference", "cite", "paper", "references", "software"]


@dataclass(frozen=True)
class Reference:
    """An entry of a bibliography, whose fields are names and values in LaTeX."""

    key: str
    label: str  # in the theory book, such as ``T18``; may be empty
    kind: str  # ``misc``, ``article`` or ``inproceedings``
    fields: tuple[tuple[str, str], ...]

    @property
    def arxiv(self) -> str:
        """Number at arXiv, or an empty string."""
        return dict(self.fields).get("eprint", "")

    def __str__(self) -> str:
        """Return the entry in BibTeX."""
        width = max(len(name) for name, _ in self.fields)
        lines = [f"  {name:<{width}} = {{{value}}}," for name, value in self.fields]
        return "\n".join([f"@{self.kind}{{{self.key},", *lines, "}"])


def _read(text: str) -> tuple[Reference, ...]:
    """Return the entries of a bibliography in which each field is one line and ``shorthand`` is the label."""
    found = []
    for kind, key, body in re.findall(r"^@(\w+)\{(\w+),\n(.*?)\n\}$", text, re.DOTALL | re.MULTILINE):
        fields = dict(re.findall(r"^  (\w+) *= \{(.*)\},$", body, re.MULTILINE))
        found.append(Reference(key, fields.pop("shorthand"), kind, tuple(fields.items())))
    return tuple(found)


PAPERS = _read(Path(__file__).with_name("papers.bib").read_text(encoding="utf-8"))
"""The papers that the theory book draws on. The year of a preprint is the year of its first version."""

# A number at arXiv since 2007, with or without the version of the paper.
_ARXIV = re.compile(r"arXiv:\s*(\d{4}\.\d{4,5})(?:v\d+)?", re.IGNORECASE)
_LABEL = re.compile(r"\[([A-Za-z]+\d\d)\]")


def software(version: str = VERSION) -> Reference:
    """Return the entry of shoal itself, in the version that was used."""
    fields = (
        ("author", "{shoal developers}"),
        ("title", "{shoal: many small neural networks trained at once, compared with exact theory}"),
        ("howpublished", "Computer software"),
        ("note", f"Version {version}"),
    )
    # Not the entry type "software": BibTeX does not know it, and biblatex would print a version beside the note.
    return Reference("shoal", "", "misc", fields)


def paper(name: str) -> Reference:
    """Return a paper by its label, key or number at arXiv: ``T18``, ``tachet2018learning`` or ``arXiv:1809.06848``.

    A paper at arXiv that shoal does not know gets an entry with its number alone.
    """
    found = _ARXIV.fullmatch(name) or re.fullmatch(r"(\d{4}\.\d{4,5})", name)
    number = found[1] if found else None
    for known in PAPERS:
        if name in (known.label, known.key) or number == known.arxiv:
            return known
    if number is None:
        raise ValueError(f"name must be one of {', '.join(known.label for known in PAPERS)}, got {name!r}")
    fields = (("title", f"{{arXiv:{number}}}"), ("eprint", number), ("archiveprefix", "arXiv"))
    return Reference(f"arxiv{number}", "", "misc", (*fields, ("url", f"https://arxiv.org/abs/{number}")))


def references(source: str) -> tuple[Reference, ...]:
    """Return the papers whose numbers at arXiv or labels, as ``[T18]``, are in a claim's source, each once."""
    known = {known.label for known in PAPERS}
    named = [(found.start(), found[0]) for found in _ARXIV.finditer(source)]
    named += [(found.start(), found[1]) for found in _LABEL.finditer(source) if found[1] in known]
    return tuple(dict.fromkeys(paper(name) for _, name in sorted(named)))


def cite(*about: object) -> str:
    """Return BibTeX of the papers behind what is given, and of shoal.

    Parameters
    ----------
    about
        Any of: a dataset that ``train`` returned (shoal, in the version that made it); a claim, its name or its outcome
        (the papers that its source names); a paper by its label in the theory book, its key or its number at arXiv.
        Nothing gives shoal alone.

    Returns
    -------
    str
        Entries with an empty line between them, each once: the papers, then shoal.

    Raises
    ------
    TypeError, ValueError
        An argument is none of these, a name is of no claim and no paper, or datasets are of different versions.

    Examples
    --------
    >>> import shoal
    >>> print(shoal.cite("sigmoid").splitlines()[0])
    @misc{tachet2018learning,
    >>> print(shoal.cite())  # doctest: +ELLIPSIS
    @misc{shoal,
      author       = {{shoal developers}},
      title        = {{shoal: many small neural networks trained at once, compared with exact theory}},
      howpublished = {Computer software},
      note         = {Version ...},
    }
    """
    papers: dict[Reference, None] = {}
    versions: dict[str, None] = {}
    for one in about:
        if hasattr(one, "attrs"):
            versions[_version(one.attrs)] = None
        else:
            papers |= dict.fromkeys(_papers(one))
    if len(versions) > 1:
        raise ValueError(f"datasets must be of one version of shoal to be cited together, got {', '.join(versions)}")
    return "\n\n".join(str(entry) for entry in (*papers, software(*versions)))


def _version(attrs: dict[str, object]) -> str:
    if "shoal_version" not in attrs:
        raise ValueError("data must be what train returned: it has no attribute 'shoal_version'")
    return str(attrs["shoal_version"])


def _papers(about: object) -> tuple[Reference, ...]:
    """Return the papers of a claim, an outcome or a name."""
    if isinstance(about, str):
        from shoal.claims import known  # takes SciPy, xarray and matplotlib with it

        claims = known()
        if about in claims:
            return references(claims[about].source)
        try:
            return (paper(about),)
        except ValueError:
            labels = ", ".join(each.label for each in PAPERS)
            raise ValueError(
                f"about must name a claim ({', '.join(claims)}) or a paper ({labels}, arXiv:...), got {about!r}"
            ) from None
    source = getattr(about, "source", None)
    if not isinstance(source, str):
        raise TypeError(
            f"about must be a dataset, a claim, its outcome or a name, got {about!r} of type {type(about).__name__}"
        )
    return references(source)
