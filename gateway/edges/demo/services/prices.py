"""What this vendor bills, in credits: its own list, on purpose not the gateway's rate card.

Two parties that each keep a price list is what the gateway has to live with; a test may compare them.
"""

from collections.abc import Sequence
from typing import Final

PARSE: Final = {"fast": 1, "cost_effective": 3, "agentic": 10, "agentic_plus": 45}
EXTRACT: Final = {"cost_effective": 5, "agentic": 15, "agentic_plus": 50, "turbo": 35}
EXTRACT_V1: Final = {"FAST": 5, "BALANCED": 10, "MULTIMODAL": 20, "PREMIUM": 60}
CLASSIFY: Final = {"FAST": 1, "MULTIMODAL": 2}
SPLIT: Final = 4
INDEX_EXPORT: Final = 2
RETRIEVAL: Final = 1
CHAT_TURN: Final = 100

HIGH_CONFIDENCE: Final = 5
LAYOUT: Final = 3
OPTIMIZED: Final = 3  # what the cost optimizer makes of a simple page

PARSE_V1_DEFAULT: Final = 3
PARSE_V1: Final = {
    "fast_mode": 1,
    "parse_page_without_llm": 1,
    "parse_page_with_llm": 3,
    "parse_page_with_layout_agent": 45,
    "parse_document_with_llm": 30,
    "parse_page_with_lvm": 30,
    "parse_page_with_agent": 45,
    "premium_mode": 45,
}
PARSE_V1_MODELS: Final = {
    "parse_page_with_lvm": {
        "gemini-2.0-flash": 6,
        "gemini-2.5-flash": 25,
        "gemini-2.5-pro": 60,
        "openai-gpt-4o-mini": 15,
        "openai-gpt-4-1": 30,
        "openai-gpt-5": 150,
        "anthropic-sonnet-4.0": 60,
    },
    "parse_page_with_agent": {
        "gemini-2.5-flash": 10,
        "openai-gpt-4-1-mini": 10,
        "openai-gpt-4-1": 45,
        "openai-gpt-5": 90,
        "anthropic-sonnet-4.0": 90,
    },
}
PARSE_V1_PRESETS: Final = {"invoice": 90, "scientific": 90, "technical": 90, "forms": 90}
STRUCTURED: Final = 3
AUTO_MODE_PAGE: Final = 45  # a page that auto mode's rules pick

INDEX_V1: Final = 1
SHEET: Final = 1


def per_page(credits_per_page: int, pages: Sequence[int]) -> tuple[int, ...]:
    """The same price for each page."""
    return (credits_per_page,) * len(pages)


def parse_pages(tier: str, pages: Sequence[int], *, optimized: bool, high_confidence: bool) -> tuple[int, ...]:
    """Credits of each page. The optimizer finds every second page simple, which nobody can know beforehand."""
    extra = HIGH_CONFIDENCE if high_confidence else 0
    price = PARSE[tier]
    simple = min(price, OPTIMIZED) if optimized else price
    return tuple((price if page % 2 else simple) + extra for page in pages)
