"""Each folder of tests/data/config is one mistake: a file that has it, and the sentences it must cause."""

import shutil
from pathlib import Path

import pytest

from gateway.config_files.problem import ConfigurationInvalid
from gateway.configuration import check, load

DATA = Path(__file__).parents[1] / "data" / "config"
GOOD = DATA / "good"
MISTAKES = sorted(folder.name for folder in DATA.iterdir() if folder.name != "good")
ENVIRON = {"A_SECRET": "hunter2"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for file in GOOD.iterdir():
        shutil.copy(file, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_good_files_have_no_problem(folder: Path) -> None:
    assert set(load(Path("gateway.yaml"), ENVIRON).catalog.plans) == {"free", "starter"}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_its_file_and_line(folder: Path, mistake: str) -> None:
    for file in (DATA / mistake).glob("*.yaml"):
        shutil.copy(file, folder)
    with pytest.raises(ConfigurationInvalid) as caught:
        load(Path("gateway.yaml"), ENVIRON)
    assert str(caught.value) == (DATA / mistake / "expected.txt").read_text().rstrip("\n")
    assert "hunter2" not in str(caught.value)


def test_ten_mistakes_in_one_file_are_ten_problems_with_ten_lines() -> None:
    lines = (DATA / "ten_mistakes_in_one_file" / "expected.txt").read_text().splitlines()
    assert len({line.split(":")[1] for line in lines}) == 10


def test_mistakes_in_all_files_are_told_together(folder: Path) -> None:
    for mistake in ("misspelled_setting", "port_out_of_range", "alias_of_nothing", "unknown_upstream"):
        for file in (DATA / mistake).glob("*.yaml"):
            shutil.copy(file, folder)
    with pytest.raises(ConfigurationInvalid) as caught:
        load(Path("gateway.yaml"), ENVIRON)
    assert [problem.file for problem in caught.value.problems] == [
        "gateway.yaml",
        "plans.yaml",
        "rate_card.yaml",
        "routes.yaml",
    ]


def test_a_broken_entry_does_not_hide_what_is_wrong_with_its_neighbour(folder: Path) -> None:
    routes = (GOOD / "routes.yaml").read_text()
    broken = routes.replace("units: {expected: 10, at_least: 1}", "units: ten", 1).replace("limit: reads", "limit: x")
    (folder / "routes.yaml").write_text(broken)
    with pytest.raises(ConfigurationInvalid) as caught:
        load(Path("gateway.yaml"), ENVIRON)
    assert [problem.path for problem in caught.value.problems] == [
        "routes.POST /parse.units",
        "routes.GET /parse/{job_id}.limit",
    ]


def test_any_file_can_be_checked_by_itself(folder: Path) -> None:
    shutil.copy(DATA / "alias_of_nothing" / "rate_card.yaml", folder / "new_prices.yaml")
    shutil.copy(DATA / "misspelled_setting" / "plans.yaml", folder / "new_plans.yaml")
    shutil.copy(DATA / "overlapping_routes" / "routes.yaml", folder / "new_routes.yaml")
    assert [check(Path(f"new_{name}.yaml"), ENVIRON)[0].line for name in ("prices", "plans", "routes")] == [7, 9, 23]
    assert check(Path("gateway.yaml"), ENVIRON) == ()
    shutil.copy(folder / "new_plans.yaml", folder / "plans.yaml")
    assert [problem.file for problem in check(Path("gateway.yaml"), ENVIRON)] == ["plans.yaml"]


def test_a_missing_entry_is_one_problem(folder: Path) -> None:
    with pytest.raises(ConfigurationInvalid) as caught:
        load(Path("nowhere/gateway.yaml"), ENVIRON)
    assert str(caught.value) == "nowhere/gateway.yaml: cannot be opened: No such file or directory"


def test_a_broken_entry_still_has_its_neighbours_checked(folder: Path) -> None:
    (folder / "gateway.yaml").write_text("listen: [")
    shutil.copy(DATA / "misspelled_setting" / "plans.yaml", folder)
    assert [problem.file for problem in check(Path("gateway.yaml"), ENVIRON)] == ["gateway.yaml", "plans.yaml"]
