"""The console under the server's policy: it works, and the browser has nothing to report.

Every device notes reports of the policy and fails its test for them; here the whole console is walked through.
"""

from functools import partial
from pathlib import Path

from tests.browser.chromium import Device, in_charge
from tests.browser.conftest import MakeDevice
from tests.browser.console import busy_session, shown, sign_in
from tests.browser.scenes import walk
from tests.harness import Running, until


async def test_nothing_of_the_console_breaks_the_policy(
    served: Running, new_device: MakeDevice, tmp_path: Path
) -> None:
    """Sign-in, list, session, panel, dialogs, search, the service worker, and the same again without a network."""
    device = await new_device("ana", served)
    async with busy_session(served.url, tmp_path):
        async for scene, _ in walk(device):
            assert device.troubles == [], scene
        tab = await device.tab("/s/trip")
        await shown(tab, "Lisbon in May")
        await in_charge(tab)
        await device.offline(True)
        device.proxy.refusing = True
        device.proxy.cut()
        await tab.reload()
        await shown(tab, "Lisbon in May")

    assert device.troubles == []


async def test_what_the_policy_forbids_is_refused(served: Running, new_device: MakeDevice) -> None:
    """In the console's own page: markup from strings, inline scripts and styles, foreign images and connections."""
    device = await new_device("ana", served)
    tab = await sign_in(device, "ana")
    refused = await tab.evaluate(
        """async () => {
          const outcome = {};
          // In a task of the page's own: what the debugger runs itself may make code of strings.
          await new Promise((resolve) => setTimeout(resolve));
          const attempt = async (name, act) => {
            try { await act(); outcome[name] = "done"; } catch (error) { outcome[name] = error.name; }
          };
          await attempt("markup", () => { document.createElement("p").innerHTML = "<b>x</b>"; });
          await attempt("eval", () => (0, eval)("1"));
          await attempt("connection", () => fetch("https://example.com/"));
          await attempt("frame", () => { document.createElement("iframe").srcdoc = "<p>x"; });
          const style = document.createElement("style");
          style.textContent = "body { outline: 7px solid red }";
          document.head.append(style);
          outcome.style = getComputedStyle(document.body).outlineWidth;
          return outcome;
        }"""
    )
    assert refused["markup"] == refused["frame"] == refused["connection"] == "TypeError"
    assert refused["eval"] == "EvalError"
    assert refused["style"] != "7px"
    for rule in ("require-trusted-types-for", "connect-src", "style-src"):
        await until(partial(_reported, device, rule), f"a report on {rule}")
    device.troubles.clear()


def _reported(device: Device, rule: str) -> bool:
    return any(f"CSP report: {rule}" in trouble for trouble in device.troubles)
