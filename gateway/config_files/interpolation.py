"""`${VAR}` and `${VAR:-default}`, filled in from the environment. Values are never shown, only names."""

import re
from collections.abc import Mapping
from typing import Final

_REFERENCE: Final = re.compile(r"\$\$\{|\$\{([^}]*)(\}?)")
_NAME: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
LOOKS_INTERPOLATED: Final = r"\$\{.+\}"


def interpolate(text: str, environ: Mapping[str, str]) -> tuple[str, list[str]]:
    """The text with its variables filled in, and what is wrong with them.

    `:-` gives a default for a variable that is unset or empty, as in a shell; `$${` stands for `${` itself. A value
    that is filled in is not looked at for further variables.
    """
    complaints: list[str] = []

    def fill(found: re.Match[str]) -> str:
        if found.group() == "$${":
            return "${"
        named = _NAME.fullmatch(found.group(1)) if found.group(2) else None
        if named is None:
            complaints.append("'${' must go on as ${NAME} or ${NAME:-default}; '$${' stands for '${' itself")
            return ""
        name, default = named.groups()
        value = environ.get(name)
        if default is not None:
            return value or default
        if value is None:
            complaints.append(f"the environment has no variable {name}; set it, or write ${{{name}:-default}}")
            return ""
        return value

    return _REFERENCE.sub(fill, text), complaints
