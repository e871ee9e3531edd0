"""What is wrong with a configuration: one sentence per mistake, with its place. Never carries a secret's value."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake. `line` and `col` count from 1; 0 where the file as a whole is meant. `path` is dotted, or empty."""

    file: str
    line: int
    col: int
    path: str
    sentence: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.path}: {self.sentence}" if self.path else f"{place}: {self.sentence}"


class ConfigurationInvalid(Exception):
    """The configuration cannot be used. Holds every problem that was found, in the order of the files."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)
