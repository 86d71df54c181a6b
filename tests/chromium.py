"""A page in Debian's Chromium: a screenshot, and measurements of its layout and colours."""

import functools
import http.server
import json
import re
import subprocess
import threading
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=1400,1000",
)
SCHEMES = {"dark": 0, "light": 1}

_PROBE = """<!doctype html><title>probe</title><body style="margin:0">
<iframe id="page" src="page.html" style="border:0;width:WIDTHpx;height:1000px"></iframe><pre id="facts"></pre><script>
onload = () => {
  const frame = document.getElementById("page"), page = frame.contentDocument, view = frame.contentWindow;
  const channels = text => { const n = text.match(/[\\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n; };
  const light = rgb => rgb.slice(0, 3).map(c => c / 255)
    .map(c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
  const behind = e => {
    for (; e; e = e.parentElement) {
      const found = channels(view.getComputedStyle(e).backgroundColor);
      if (found[3] === 1) return found;
    }
    return [255, 255, 255, 1];
  };
  let contrast = 99, where = "", texts = 0;
  const wide = [];
  for (const e of page.body.querySelectorAll("*")) {
    const box = e.getBoundingClientRect();
    if (box.width > 1 && box.right > WIDTH + .5) wide.push(e.tagName + " " + e.textContent.slice(0, 40));
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
    const [a, b] = [light(channels(view.getComputedStyle(e).color)), light(behind(e))].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    texts += 1;
    if (ratio < contrast) [contrast, where] = [ratio, e.tagName + " " + e.textContent.slice(0, 40)];
  }
  document.getElementById("facts").textContent = JSON.stringify({
    viewport: view.innerWidth, scrollWidth: page.documentElement.scrollWidth, wide: wide.slice(0, 5), contrast, where,
    texts, page: view.getComputedStyle(page.body).backgroundColor,
    rows: page.querySelectorAll("tbody tr").length, ports: page.querySelectorAll("[data-port]").length,
    cell: page.querySelector("[data-port]").getBoundingClientRect().width,
    broken: [...page.querySelectorAll("td:nth-child(6)")].filter(e => {
      const range = page.createRange();
      range.selectNodeContents(e);
      return range.getClientRects().length > 1;
    }).length,
    loaded: view.performance.getEntriesByType("resource").map(r => r.name),
  });
};
</script>"""


def measure(directory: Path, html: str, width: int, scheme: str) -> dict[str, Any]:
    """Facts of a page shown that wide; its screenshot is directory/WIDTH-SCHEME.png."""
    (directory / "page.html").write_text(html)
    (directory / "probe.html").write_text(_PROBE.replace("WIDTH", str(width)))
    handler = functools.partial(_Quiet, directory=directory)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/probe.html"
        dom = _chromium(directory, scheme, "--dump-dom", address)
        _chromium(directory, scheme, f"--screenshot={directory / f'{width}-{scheme}.png'}", address)
        server.shutdown()
    found = re.search(r'<pre id="facts">(.*?)</pre>', dom, re.DOTALL)
    assert found, dom[-2000:]
    facts = json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    assert isinstance(facts, dict)
    return facts


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        """Nothing to say on stderr."""


def _chromium(directory: Path, scheme: str, *arguments: str) -> str:
    profile, colours = (
        f"--user-data-dir={directory}/profile",
        f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}",
    )
    command = ["chromium", *FLAGS, profile, colours, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
