"""Parse v1's mode: about ten of the form's 110 fields decide it, and of several only one counts.

The rules are the service's documentation: a preset overrides most other settings; `premium_mode` is
`parse_page_with_agent`, `fast_mode` is `parse_page_without_llm`, `continuous_mode` is `parse_document_with_llm`, and
`use_vendor_multimodal_model` is `parse_page_with_lvm`. Modes that have a price by model are named `mode/model`.
"""

from collections.abc import Mapping
from typing import Final

from gateway.wire.readers.reader import ModeReader
from gateway.wire.switch import switch
from gateway.wire.unreadable import Unreadable

_LVM: Final = "parse_page_with_lvm"
_BY_MODEL: Final = frozenset({_LVM, "parse_page_with_agent", "parse_document_with_agent"})
# In order of precedence, after preset, tier and parse_mode. gpt4o_mode is the oldest name of one model.
_SWITCHES: Final = {
    "premium_mode": "premium_mode",
    "auto_mode": "auto_mode",
    "use_vendor_multimodal_model": _LVM,
    "gpt4o_mode": f"{_LVM}/openai-gpt-4o",
    "continuous_mode": "continuous_mode",
    "fast_mode": "fast_mode",
}
_TEXTS: Final = ("preset", "tier", "parse_mode", "model", "vendor_multimodal_model_name")


def read(fields: Mapping[str, str]) -> tuple[str, ...] | Unreadable:
    """See ModeReader. An empty field is as good as none, and a model without a mode that takes one changes nothing."""
    named = [fields[name] for name in ("preset", "tier", "parse_mode") if fields.get(name)]
    for name, mode in _SWITCHES.items():
        on = switch(fields.get(name, ""))
        if on is None:
            return Unreadable((name,), "must be true or false", "type_error.bool")
        if on:
            named.append(mode)
    models = [fields[name] for name in ("vendor_multimodal_model_name", "model") if fields.get(name)]
    found: list[str] = []
    for mode in named:
        found += [f"{mode}/{model}" for model in models] if models and mode in _BY_MODEL else [mode]
    return tuple(found)


READER: Final = ModeReader(frozenset({*_TEXTS, *_SWITCHES}), read)
