"""Every price of the price list, as a call gets it: through the shipped files and the real PriceList, per unit."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from gateway.configuration import load
from gateway.domain.credits import credits_text
from gateway.domain.quote import Quote, UnknownMode
from gateway.wire.price import Priced, PriceList, Saved
from gateway.wire.saved_configuration import NO_MODES, LookUp, Modes
from gateway.wire.unreadable import Unreadable
from gateway.wire.values import RequestValues, needs, wheres

CATALOG = load(Path(__file__).parents[2] / "config" / "gateway.yaml", {}).catalog
PRICES = PriceList(CATALOG.rate_card)
PARSE, EXTRACT, CLASSIFY = "POST /api/v2/parse", "POST /api/v2/extract", "POST /api/v2/classify"
PARSE_V1 = "POST /api/v1/parsing/upload"
EXTRACT_V1 = "POST /api/v1/extraction/run"
INDEX = "PUT /api/v1/pipelines"


def price(call: str, body: object = None, **fields: str) -> Priced:
    """The price where nobody tells what a saved configuration says."""
    saved: dict[LookUp, Modes] = {}
    while isinstance(found := first_price(call, body, saved, **fields), LookUp):
        saved[found] = NO_MODES
    return found


def first_price(call: str, body: object, saved: Saved, **fields: str) -> Priced | LookUp:
    method, path = call.split()
    match = CATALOG.routes.match(method, path)
    assert match is not None
    metered = match.route.metered
    assert metered is not None
    wanted = needs(wheres(metered))
    document = json.dumps(body).encode() if wanted.json else None
    sent: Mapping[str, str] = {name: text for name, text in fields.items() if name in wanted.form}
    return PRICES.price(metered, RequestValues(wanted, headers=[], query=b"", body=document, fields=sent), saved)


def quoted(call: str, body: object = None, **fields: str) -> Quote:
    found = price(call, {} if body is None else body, **fields)
    assert isinstance(found, Quote), found
    return found


def per_unit(call: str, body: object = None, **fields: str) -> str:
    found = quoted(call, body, **fields)
    return f"{credits_text(found.millicredits_per_unit)}/{found.unit}"


def extract(**configuration: str) -> dict[str, object]:
    return {"file_input": "dfl-1", "configuration": configuration}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"tier": "fast"}, "1/page"),
        ({"tier": "cost_effective"}, "3/page"),
        ({"tier": "agentic"}, "10/page"),
        ({"tier": "agentic_plus"}, "45/page"),
        ({}, "3/page"),
        ({"tier": "agentic", "processing_options": {"confidence_score_effort": "high"}}, "15/page"),
        ({"configuration_id": "cfg-1"}, "45/page"),
    ],
)
def test_parse_v2(body: dict[str, object], expected: str) -> None:
    assert per_unit(PARSE, body) == expected
    assert per_unit("POST /api/v2/parse/upload", configuration=json.dumps(body)) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "3/page parse_page_with_llm"),
        ({"fast_mode": "true"}, "1/page parse_page_without_llm"),
        ({"fast_mode": "True"}, "1/page parse_page_without_llm"),
        ({"fast_mode": "1"}, "1/page parse_page_without_llm"),
        ({"fast_mode": "false"}, "3/page parse_page_with_llm"),
        ({"fast_mode": "", "parse_mode": "", "preset": "", "tier": "", "model": ""}, "3/page parse_page_with_llm"),
        ({"premium_mode": "true"}, "45/page parse_page_with_agent"),
        ({"continuous_mode": "true"}, "30/page parse_document_with_llm"),
        ({"auto_mode": "true"}, "45/page auto_mode"),
        ({"gpt4o_mode": "true"}, "30/page parse_page_with_lvm/openai-gpt-4o"),
        ({"use_vendor_multimodal_model": "true"}, "30/page parse_page_with_lvm"),
        ({"tier": "fast"}, "1/page fast"),
        ({"tier": "agentic"}, "10/page agentic"),
        ({"tier": "agentic_plus"}, "45/page agentic_plus"),
        ({"preset": "invoice"}, "90/page invoice"),
        ({"preset": "scientific"}, "90/page scientific"),
        ({"preset": "technical"}, "90/page technical"),
        ({"preset": "forms"}, "90/page forms"),
        ({"parse_mode": "parse_page_without_llm"}, "1/page parse_page_without_llm"),
        ({"parse_mode": "parse_page_with_llm"}, "3/page parse_page_with_llm"),
        ({"parse_mode": "parse_page_with_layout_agent"}, "45/page parse_page_with_layout_agent"),
        ({"parse_mode": "parse_document_with_llm"}, "30/page parse_document_with_llm"),
        ({"parse_mode": "parse_document_with_agent"}, "90/page parse_document_with_agent"),
        ({"parse_mode": "parse_page_with_llm", "model": "openai-gpt-5"}, "3/page parse_page_with_llm"),
        ({"model": "openai-gpt-5"}, "3/page parse_page_with_llm"),
        ({"extract_layout": "true"}, "6/page parse_page_with_llm"),
        ({"extract_layout": "true", "structured_output": "true"}, "9/page parse_page_with_llm"),
    ],
)
def test_parse_v1_modes(fields: dict[str, str], expected: str) -> None:
    for call in (PARSE_V1, "POST /api/parsing/upload"):
        assert f"{per_unit(call, **fields)} {quoted(call, **fields).mode}" == expected


@pytest.mark.parametrize(
    ("mode", "model", "expected"),
    [
        ("parse_page_with_lvm", "", "30"),
        ("parse_page_with_lvm", "gemini-2.0-flash", "6"),
        ("parse_page_with_lvm", "openai-gpt-5-nano", "10"),
        ("parse_page_with_lvm", "openai-gpt-4o-mini", "15"),
        ("parse_page_with_lvm", "openai-gpt-4-1-nano", "15"),
        ("parse_page_with_lvm", "gemini-1.5-flash", "15"),
        ("parse_page_with_lvm", "openai-gpt-4-1-mini", "20"),
        ("parse_page_with_lvm", "gemini-2.5-flash", "25"),
        ("parse_page_with_lvm", "openai-gpt4o", "30"),
        ("parse_page_with_lvm", "openai-gpt-4o", "30"),
        ("parse_page_with_lvm", "openai-gpt-4-1", "30"),
        ("parse_page_with_lvm", "openai-gpt-5-mini", "30"),
        ("parse_page_with_lvm", "anthropic-haiku-4.5", "30"),
        ("parse_page_with_lvm", "gemini-1.5-pro", "30"),
        ("parse_page_with_lvm", "anthropic-sonnet-4.5", "60"),
        ("parse_page_with_lvm", "gemini-2.5-pro", "60"),
        ("parse_page_with_lvm", "gemini-3.0-pro", "90"),
        ("parse_page_with_lvm", "openai-gpt-5", "150"),
        ("parse_page_with_lvm", "a-model-of-next-year", "150"),
        ("parse_page_with_agent", "", "45"),
        ("parse_page_with_agent", "openai-gpt-4-1-mini", "10"),
        ("parse_page_with_agent", "openai-gpt-5-nano", "10"),
        ("parse_page_with_agent", "gemini-2.5-flash", "10"),
        ("parse_page_with_agent", "openai-gpt-4-1", "45"),
        ("parse_page_with_agent", "gemini-2.5-pro", "45"),
        ("parse_page_with_agent", "anthropic-sonnet-4.0", "90"),
        ("parse_page_with_agent", "openai-gpt-5", "90"),
        ("parse_page_with_agent", "a-model-of-next-year", "90"),
        ("parse_document_with_agent", "anthropic-sonnet-4.5", "90"),
    ],
)
def test_parse_v1_modes_with_a_price_by_model(mode: str, model: str, expected: str) -> None:
    assert per_unit(PARSE_V1, parse_mode=mode, model=model) == f"{expected}/page"
    assert per_unit(PARSE_V1, parse_mode=mode, vendor_multimodal_model_name=model) == f"{expected}/page"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"fast_mode": "true", "premium_mode": "true"}, "45"),
        ({"tier": "fast", "premium_mode": "true"}, "45"),
        ({"tier": "fast", "parse_mode": "parse_document_with_llm"}, "30"),
        ({"preset": "invoice", "parse_mode": "parse_page_without_llm"}, "90"),
        ({"parse_mode": "parse_page_with_lvm", "model": "openai-gpt-5", "vendor_multimodal_model_name": "x"}, "150"),
    ],
)
def test_of_modes_that_contradict_each_other_the_dearest_is_held(fields: dict[str, str], expected: str) -> None:
    assert per_unit(PARSE_V1, **fields) == f"{expected}/page"


@pytest.mark.parametrize("switch", ["fast_mode", "premium_mode", "auto_mode", "extract_layout"])
def test_a_switch_that_is_neither_on_nor_off_is_not_guessed(switch: str) -> None:
    found = price(PARSE_V1, **{switch: "maybe"})
    assert isinstance(found, Unreadable)
    assert found.loc == ("body", switch)


@pytest.mark.parametrize(
    ("call", "body", "fields"),
    [
        (PARSE, {"tier": "premium"}, {}),
        (PARSE, {"tier": "invoice"}, {}),
        (PARSE, {"tier": "spreadsheet"}, {}),
        (PARSE, {"tier": "parse_page_without_llm"}, {}),
        (PARSE, {"tier": "parse_page_with_lvm/x"}, {}),
        (PARSE_V1, {}, {"parse_mode": "parse_document_with_lvm"}),
        (PARSE_V1, {}, {"preset": "unheard-of"}),
        (EXTRACT, {"file_input": "f", "configuration": {"tier": "premium"}}, {}),
        (EXTRACT, {"file_input": "f", "configuration": {"tier": "fast"}}, {}),
        (EXTRACT, {"file_input": "f", "configuration": {"parse_tier": "turbo"}}, {}),
        (EXTRACT_V1, {"config": {"extraction_mode": "agentic"}}, {}),
        (CLASSIFY, {"configuration": {"mode": "MULTIMODAL"}}, {}),
    ],
)
def test_a_mode_of_another_product_or_version_is_unknown(call: str, body: object, fields: dict[str, str]) -> None:
    assert isinstance(price(call, body, **fields), UnknownMode)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (extract(tier="cost_effective"), "8"),
        (extract(tier="agentic"), "25"),
        (extract(tier="agentic_plus"), "95"),
        (extract(tier="turbo"), "35"),
        (extract(tier="agentic", parse_tier="fast"), "16"),
        ({"file_input": "pjb-1", "configuration": {"tier": "cost_effective"}}, "5"),
        ({"file_input": "pjb-1", "configuration": {"tier": "agentic"}}, "15"),
        ({"file_input": "pjb-1", "configuration": {"tier": "agentic_plus"}}, "50"),
        ({"file_input": "dfl-1", "configuration_id": "cfg-1"}, "95"),
    ],
)
def test_extract_v2_is_its_tier_and_its_parse(body: dict[str, object], expected: str) -> None:
    assert per_unit(EXTRACT, body) == f"{expected}/page"


@pytest.mark.parametrize(("mode", "expected"), [("FAST", 5), ("BALANCED", 10), ("MULTIMODAL", 20), ("PREMIUM", 60)])
def test_extract_v1_modes(mode: str, expected: int) -> None:
    override = {"extraction_mode": mode}
    agent = {"extraction_agent_id": "a", "file_id": "f", "config_override": override}
    assert per_unit(EXTRACT_V1, {"config": override}) == f"{expected}/page"
    assert per_unit("POST /api/v1/extraction/jobs", agent) == f"{expected}/page"
    assert per_unit("POST /api/v1/extraction/jobs/batch", agent) == f"{expected}/page"
    form = {"extraction_agent_id": "a", "config_override": json.dumps(override)}
    assert per_unit("POST /api/v1/extraction/jobs/file", **form) == f"{expected}/page"


@pytest.mark.parametrize("override", [{}, {"config_override": None}, {"config_override": {"extraction_mode": None}}])
def test_an_agent_that_hides_its_mode_holds_the_dearest_and_asks_for_the_cheapest(override: dict[str, object]) -> None:
    found = quoted("POST /api/v1/extraction/jobs", {"extraction_agent_id": "a", "file_id": "f", **override})
    assert (found.mode, found.expected_millicredits, found.least_millicredits) == ("premium", 600_000, 5_000)
    found = quoted("POST /api/v1/extraction/jobs/file", extraction_agent_id="a", config_override="")
    assert (found.mode, found.least_millicredits) == ("premium", 5_000)


def test_classify() -> None:
    assert per_unit(CLASSIFY) == "1/page"
    assert per_unit(CLASSIFY, {"configuration": {"mode": "FAST"}}) == "1/page"
    assert per_unit("POST /api/v1/classifier/jobs", {"file_ids": ["a"]}) == "1/page"
    assert per_unit("POST /api/v1/classifier/jobs", {"file_ids": ["a"], "mode": "FAST"}) == "1/page"
    assert per_unit("POST /api/v1/classifier/jobs", {"file_ids": ["a"], "mode": "MULTIMODAL"}) == "2/page"


@pytest.mark.parametrize("tier", [None, "fast", "cost_effective", "agentic", "agentic_plus"])
def test_split(tier: str | None) -> None:
    for call in ("POST /api/v1/split/jobs", "POST /api/v1/beta/split/jobs"):
        assert per_unit(call, {"configuration": {"parse_tier": tier}}) == "4/page"


@pytest.mark.parametrize(
    "path", ["retrieval/retrieve", "pipelines/p/retrieve", "retrievers/retrieve", "retrievers/r/retrieve"]
)
def test_every_retrieval_query(path: str) -> None:
    assert per_unit(f"POST /api/v1/{path}", {"query": "?"}) == "1/query"
    assert quoted(f"POST /api/v1/{path}", {"query": "?"}).exact


@pytest.mark.parametrize("path", ["chat/s/messages/stream", "pipelines/p/chat"])
def test_every_chat_turn(path: str) -> None:
    assert per_unit(f"POST /api/v1/{path}", {"prompt": "?"}) == "100/turn"
    assert quoted(f"POST /api/v1/{path}", {"prompt": "?"}).exact


def test_index_v2_exports() -> None:
    assert per_unit("POST /api/v1/indexes", {"source_directory_id": "d"}) == "2/page"
    assert per_unit("POST /api/v1/indexes/i/sync") == "2/page"


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        (None, "4"),
        ({}, "4"),
        ({"fast_mode": True}, "2"),
        ({"fast_mode": False, "premium_mode": None}, "4"),
        ({"parse_mode": "parse_page_with_agent", "model": "openai-gpt-4-1-mini"}, "11"),
        ({"preset": "invoice"}, "91"),
    ],
)
def test_index_v1_is_the_page_and_its_parse(parameters: object, expected: str) -> None:
    for call in (INDEX, "PUT /api/v1/pipelines/p"):
        assert per_unit(call, {"name": "n", "llama_parse_parameters": parameters}) == f"{expected}/page"


def test_index_v1_of_documents_is_the_page_alone() -> None:
    assert per_unit("POST /api/v1/pipelines/p/documents", [{"text": "a"}]) == "1/page"


@pytest.mark.parametrize("call", ["PUT /api/v1/pipelines/p/files", "POST /api/v1/pipelines/p/sync"])
def test_a_pipeline_that_hides_its_parse_holds_the_dearest_and_asks_for_the_cheapest(call: str) -> None:
    found = quoted(call, [{"file_id": "a"}])
    assert (found.millicredits_per_unit, found.least_millicredits, found.exact) == (151_000, 2_000, False)


def test_sheets() -> None:
    assert per_unit("POST /api/v1/beta/sheets/jobs", {"file_id": "f"}) == "1/sheet"


def test_a_batch_hides_its_tier() -> None:
    job = {"type": "parse_v2", "configuration_id": "cfg-1"}
    parse = quoted("POST /api/v2/batches", {"config": {"job": job}, "source_directory_id": "d"})
    assert (parse.millicredits_per_unit, parse.least_millicredits) == (45_000, 1_000)
    job["type"] = "extract_v2"
    both = quoted("POST /api/v2/batches", {"config": {"job": job}, "source_directory_id": "d"})
    assert (both.millicredits_per_unit, both.least_millicredits) == (95_000, 6_000)


def test_what_a_file_turns_out_to_be_is_priced_too() -> None:
    """No call tells that its file is a recording or a spreadsheet, or has forms: the finished job does."""
    parse, index = CATALOG.rate_card.products["parse"], CATALOG.rate_card.products["index"]
    assert (parse.rates_millicredits["audio"], parse.unit_of("audio")) == (3_000, "minute")
    assert (index.rates_millicredits["indexing_spreadsheet"], index.unit_of("indexing_spreadsheet")) == (2_000, "sheet")
    assert index.rates_millicredits["indexing_multimodal"] == 2_000
    assert parse.add_ons_millicredits["enriched_forms"] == 10_000


@pytest.mark.parametrize(
    ("call", "body", "expected", "least"),
    [
        (PARSE, {"tier": "agentic"}, 10, 1),
        (PARSE, {"tier": "agentic", "page_ranges": {"target_pages": "1,3,5-8"}}, 6, 1),
        (PARSE, {"tier": "agentic", "page_ranges": {"max_pages": 2}}, 2, 1),
        (PARSE, {"tier": "agentic", "page_ranges": {"target_pages": "1-100", "max_pages": 50}}, 10, 1),
        (PARSE, {"tier": "agentic", "page_ranges": {"target_pages": None, "max_pages": None}}, 10, 1),
        (EXTRACT, {"file_input": "f", "configuration": {"target_pages": "2"}}, 1, 1),
        (EXTRACT, {"file_input": "f", "configuration": {"max_pages": 3}}, 3, 1),
        (CLASSIFY, {"configuration": {"parsing_configuration": {"target_pages": "1-2"}}}, 2, 1),
        ("POST /api/v1/split/jobs", {"configuration": {"target_pages": "1-4"}}, 4, 1),
        ("POST /api/v1/classifier/jobs", {"file_ids": ["a", "b", "c"]}, 30, 3),
        ("POST /api/v1/classifier/jobs", {"file_ids": ["a"], "parsing_configuration": {"target_pages": [0, 1]}}, 2, 1),
        ("POST /api/v1/classifier/jobs", {"file_ids": ["a", "b"], "parsing_configuration": {"max_pages": 3}}, 6, 2),
        ("POST /api/v1/extraction/jobs/batch", {"extraction_agent_id": "a", "file_ids": ["a", "b"]}, 20, 2),
        (EXTRACT_V1, {"config": {"page_range": "1-3,8-10"}}, 6, 1),
        ("PUT /api/v1/pipelines/p/files", [{"file_id": "a"}, {"file_id": "b"}], 20, 2),
        ("POST /api/v1/pipelines/p/documents", [{"text": "a"}, {"text": "b"}], 2, 2),
        ("POST /api/v1/beta/sheets/jobs", {"file_id": "f", "config": {"sheet_names": ["a", "b"]}}, 2, 2),
        ("POST /api/v1/beta/sheets/jobs", {"file_id": "f", "config": {"sheet_names": []}}, 1, 1),
        ("POST /api/v1/retrieval/retrieve", {"query": "?"}, 1, 1),
    ],
)
def test_a_request_bounds_or_multiplies_its_units(call: str, body: object, expected: int, least: int) -> None:
    found = quoted(call, body)
    assert (found.expected_units, found.least_units) == (expected, least)


def test_parse_v1_counts_pages_from_zero() -> None:
    assert quoted(PARSE_V1, target_pages="0,2-7").expected_units == 7
    assert quoted(PARSE_V1, target_pages="", max_pages="").expected_units == 10
    assert quoted(PARSE_V1, max_pages="0").expected_units == 10
    assert quoted(PARSE_V1, target_pages="0-4", max_pages="2").expected_units == 2
    assert isinstance(price(PARSE, {"tier": "fast", "page_ranges": {"target_pages": "0,2-7"}}), Unreadable)


@pytest.mark.parametrize(
    ("ranges", "loc"),
    [
        ({"target_pages": "last"}, "target_pages"),
        ({"target_pages": "3-1"}, "target_pages"),
        ({"target_pages": "1;2"}, "target_pages"),
        ({"target_pages": "1,"}, "target_pages"),
        ({"target_pages": "-1"}, "target_pages"),
        ({"target_pages": 7}, "target_pages"),
        ({"target_pages": [1, "2"]}, "target_pages"),
        ({"target_pages": [True]}, "target_pages"),
        ({"target_pages": {"from": 1}}, "target_pages"),
        ({"max_pages": -1}, "max_pages"),
        ({"max_pages": 1.5}, "max_pages"),
        ({"max_pages": True}, "max_pages"),
        ({"max_pages": "7"}, "max_pages"),
        ({"max_pages": [7]}, "max_pages"),
    ],
)
def test_units_that_cannot_be_read_are_told_and_never_guessed(ranges: dict[str, object], loc: str) -> None:
    found = price(PARSE, {"tier": "fast", "page_ranges": ranges})
    assert isinstance(found, Unreadable)
    assert found.loc == ("body", "page_ranges", loc)


def test_a_list_of_files_that_is_none_is_not_guessed() -> None:
    assert isinstance(price("POST /api/v1/classifier/jobs", {"file_ids": "a,b"}), Unreadable)
    assert isinstance(price("POST /api/v1/classifier/jobs", {"file_ids": ["a"] * 10_001}), Unreadable)
    assert isinstance(price("PUT /api/v1/pipelines/p/files", {"file_id": "a"}), Unreadable)


def test_quotes_whose_units_vary_are_not_kept() -> None:
    prices = PriceList(CATALOG.rate_card)
    match = CATALOG.routes.match("POST", "/api/v2/parse")
    assert match is not None
    metered = match.route.metered
    assert metered is not None
    for pages in range(1, 50):
        body = json.dumps({"tier": "fast", "page_ranges": {"max_pages": pages}}).encode()
        values = RequestValues(needs(wheres(metered)), headers=[], query=b"", body=body)
        assert isinstance(prices.price(metered, values), Quote)
    assert len(prices._quotes) <= 1


def with_saved(call: str, body: object, told: dict[str, Modes]) -> Quote:
    """The quote where configurations of these names tell these modes."""
    saved: dict[LookUp, Modes] = {}
    while isinstance(found := first_price(call, body, saved), LookUp):
        saved[found] = told.get(found.target.rpartition("/")[2], NO_MODES)
    assert isinstance(found, Quote), found
    return found


TIER = ("parameters", "tier")
PARSE_TIER = ("parameters", "parse_tier")


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({TIER: "fast"}, (1_000, 1_000)),
        ({TIER: "agentic"}, (10_000, 10_000)),
        ({TIER: "a tier of tomorrow"}, (45_000, 1_000)),
        ({}, (45_000, 1_000)),
    ],
)
def test_a_saved_configuration_that_tells_its_tier_is_quoted_at_it(told: Modes, expected: tuple[int, int]) -> None:
    quote = with_saved("POST /api/v2/parse", {"configuration_id": "cfg-1"}, {"cfg-1": told})
    assert (quote.millicredits_per_unit, quote.least_millicredits_per_unit) == expected


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({TIER: "agentic"}, [("extract", "agentic"), ("parse", "agentic")]),
        ({TIER: "agentic", PARSE_TIER: "fast"}, [("extract", "agentic"), ("parse", "fast")]),
        ({TIER: "agentic", PARSE_TIER: "of tomorrow"}, [("extract", "agentic"), ("parse", "agentic_plus")]),
        ({TIER: "turbo", PARSE_TIER: "fast"}, [("extract", "turbo")]),
        ({}, [("extract", "agentic_plus"), ("parse", "agentic_plus")]),
    ],
)
def test_a_saved_extraction_tells_the_tier_of_its_parse_too(told: Modes, expected: list[tuple[str, str]]) -> None:
    body = {"file_input": "dfl-1", "configuration_id": "cfg-1"}
    quote = with_saved("POST /api/v2/extract", body, {"cfg-1": told})
    assert [(part.product, part.mode) for part in quote.parts] == expected


def test_the_saved_parse_of_an_extraction_is_looked_up_by_itself() -> None:
    body = {"file_input": "dfl-1", "configuration": {"tier": "agentic", "parse_config_id": "cfg-2"}}
    quote = with_saved("POST /api/v2/extract", body, {"cfg-2": {TIER: "fast"}})
    assert [(part.product, part.mode) for part in quote.parts] == [("extract", "agentic"), ("parse", "fast")]


@pytest.mark.parametrize("name", ["../../v2/parse", "a/b", "", "a?b", "x" * 129, "é", "."])
def test_a_name_that_is_no_path_segment_is_never_asked_for(name: str) -> None:
    quote = first_price("POST /api/v2/parse", {"configuration_id": name}, {})
    assert isinstance(quote, Quote)
    assert quote.mode == "agentic_plus"


def test_a_call_that_sends_its_tier_looks_nothing_up() -> None:
    assert isinstance(first_price("POST /api/v2/parse", {"tier": "fast", "configuration_id": "cfg-1"}, {}), Quote)
