import hashlib
import json
import re
from pathlib import Path

import httpx
import pytest

from gateway.edges.dashboard.assets import FOLDER, asset_path, assets
from tests.edges.dashboard.conftest import Running
from tests.edges.dashboard.in_browser.tab import AXE

VENDORED = (FOLDER / "vendor", AXE.parent)


@pytest.mark.parametrize("folder", VENDORED, ids=("dashboard", "tests"))
def test_vendored_files_are_those_of_the_manifest(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    listed = {one["file"]: one["sha256"] for one in manifest["files"]}
    there = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    del there["manifest.json"]
    assert listed == there
    for one in manifest["files"]:
        assert one["package"] in manifest["packages"]
    for package in manifest["packages"].values():
        assert {"version", "licence", "licence_file"} <= set(package)
        assert package["licence_file"] in listed


def test_no_template_has_script_or_style_within() -> None:
    templates = sorted((FOLDER.parent / "templates").glob("*.html"))
    assert templates
    inline = re.compile(
        r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\bsrc=)|javascript:|\|\s*safe\b|hx-on", re.IGNORECASE
    )
    wrong = [f"{path.name}: {found.group()}" for path in templates for found in inline.finditer(path.read_text())]
    assert not wrong


async def test_files_are_kept_for_good_under_the_address_of_their_content(running: Running) -> None:
    async with running.browser() as client:
        path = asset_path("/settings", "dashboard.css")
        styles = await client.get(path)
        assert styles.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert styles.headers["content-type"].startswith("text/css")
        assert styles.headers["content-encoding"] == "gzip"
        plain = await client.get(path, headers={"accept-encoding": "identity"})
        assert plain.content == assets()["dashboard.css"].plain == styles.content
        other_version = await client.get("/settings/static/0123456789ab/dashboard.css")
        assert (other_version.status_code, other_version.headers["cache-control"]) == (200, "no-store")


@pytest.mark.parametrize("name", ["../parts.py", "..%2fparts.py", "templates/base.html", "", "vendor", "%00"])
async def test_nothing_else_is_served(running: Running, name: str) -> None:
    async with running.browser() as client:
        reply: httpx.Response = await client.get(f"/settings/static/0123456789ab/{name}")
    assert reply.status_code in {303, 404}
    assert "import" not in reply.text
