"""The report page in a browser: no content is cut off, outside its drawing, or unreadable."""

import json
import re
import subprocess
from html import unescape
from pathlib import Path

import pytest

from deploy.datasets.dataset import from_files
from deploy.evaluation.evaluate import Options, evaluate
from tests.deploy.evaluation.test_evaluate import EVENTS, ITEMS
from tests.support import synthetic
from tests.support.parts import need_chromium

pytestmark = [pytest.mark.browser, pytest.mark.slow]

MEASURE = """
<script>
  const outside = [], faint = [];
  const luminance = (colour) => {
    const parts = colour.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255);
    const [r, g, b] = parts.map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paper = luminance(getComputedStyle(document.body).backgroundColor);
  const contrast = (colour) => {
    const [low, high] = [luminance(colour), paper].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  for (const drawing of document.querySelectorAll("svg")) {
    const frame = drawing.getBoundingClientRect();
    for (const text of drawing.querySelectorAll("text")) {
      const box = text.getBoundingClientRect();
      if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.bottom > frame.bottom + 1)
        outside.push(text.textContent);
      if (contrast(getComputedStyle(text).fill) < 3) faint.push(text.textContent);
    }
  }
  for (const element of document.querySelectorAll("p, li, td, th"))
    if (contrast(getComputedStyle(element).color) < 4.5) faint.push(element.textContent);
  const measured = {
    outside, faint,
    wider: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    drawings: document.querySelectorAll("svg").length,
    dark: matchMedia("(prefers-color-scheme: dark)").matches,
  };
  const output = document.createElement("pre");
  output.id = "measured";
  output.textContent = JSON.stringify(measured);
  document.body.append(output);
</script>
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a small evaluation, with the measuring script."""
    folder = tmp_path_factory.mktemp("page")
    dataset = from_files(*synthetic.write(folder), EVENTS, ITEMS)
    options = Options(seeds=2, processes=1, parts=10)
    evaluate(dataset, options, learner=synthetic.CountingLearner(), html=folder / "report.html")
    (folder / "measured.html").write_text((folder / "report.html").read_text().replace("</body>", f"{MEASURE}</body>"))
    return folder / "measured.html"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [400, 1200])
def test_report_shows_every_figure(report: Path, tmp_path: Path, dark: bool, width: int) -> None:
    chromium = need_chromium()
    options = [
        *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
        *(f"--user-data-dir={tmp_path}", f"--window-size={width},900", "--dump-dom"),
        f"--blink-settings=preferredColorScheme={0 if dark else 1}",
    ]
    done = subprocess.run(
        [chromium, *options, report.as_uri()], check=False, capture_output=True, text=True, timeout=120
    )
    found = re.search(r'<pre id="measured">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found is not None, done.stderr
    measured = json.loads(unescape(found[1]))
    assert measured["dark"] is dark
    assert measured["drawings"] >= 10
    assert measured["outside"] == []
    assert measured["faint"] == []
    assert measured["wider"] <= 0
