"""Tables as the commands print them, in the form in which JSON keeps them and the page shows them.

A command prints rich tables. `sheet_of` takes down what stands in one, so that the page shows the tables of any
command, also of one that it does not know.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table
from rich.text import Text


@dataclass(frozen=True)
class Sheet:
    """A table of words.

    Parameters
    ----------
    title : str
        What stands above it.
    columns : tuple of str
        Heads.
    numeric : tuple of bool
        Which columns stand to the right.
    rows : tuple of tuple of str
        Cells, each row as long as `columns`.
    """

    title: str
    columns: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        """Refuse what is no table."""
        if not self.columns:
            raise ValueError("a sheet needs a column")
        if len(self.numeric) != len(self.columns):
            raise ValueError(f"numeric must have {len(self.columns)} entries, got {len(self.numeric)}")
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"each row must have {len(self.columns)} cells, got {row}")

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return asdict(self)

    def markdown(self) -> str:
        """Return it as Markdown, without its title."""
        lines = [self.columns, tuple("---:" if right else "---" for right in self.numeric), *self.rows]
        return "\n".join(f"| {' | '.join(escaped(cell) for cell in line)} |" for line in lines)


def escaped(cell: str) -> str:
    """Return a cell that ends neither itself nor its row."""
    return cell.replace("|", "\\|").replace("\n", " ")


def sheet_of(table: Table) -> Sheet:
    """Return what a rich table holds; colours are lost."""
    columns = [[Text.from_markup(str(cell)).plain for cell in column.cells] for column in table.columns]
    return Sheet(
        title=str(table.title or ""),
        columns=tuple(str(column.header) for column in table.columns),
        numeric=tuple(column.justify == "right" for column in table.columns),
        rows=tuple(zip(*columns, strict=True)),
    )


def table_of(sheet: Sheet) -> Table:
    """Return a sheet for the console."""
    table = Table(title=sheet.title)
    for name, right in zip(sheet.columns, sheet.numeric, strict=True):
        table.add_column(name, justify="right" if right else "left")
    for row in sheet.rows:
        table.add_row(*row)
    return table


def sheets_from(found: list[dict[str, Any]]) -> list[Sheet]:
    """Return the sheets of a JSON result; any shape but that of `Sheet.as_json` is refused by name."""
    try:
        return [
            Sheet(
                title=str(sheet["title"]),
                columns=tuple(map(str, sheet["columns"])),
                numeric=tuple(map(bool, sheet["numeric"])),
                rows=tuple(tuple(map(str, row)) for row in sheet["rows"]),
            )
            for sheet in found
        ]
    except (KeyError, TypeError) as error:
        raise ValueError(f"tables must be a list of sheets (title, columns, numeric, rows): {error!r}") from None
