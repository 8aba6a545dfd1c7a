"""The chamber: what is drawn is what the interlocks say, and what is not known is never drawn as safe."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from bridge.safety.default_rules import DEFAULT_RULES
from bridge.safety.outlook import Outlook, thought_of
from drivers.interfaces import GaugeStatus, Pressure, TouchAlarm
from tests.safety.rig import Rig
from tests.web.conftest import SiteMaker

from .bare import bare
from .conftest import Visitor

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

#: A rig as `lab.devices` has it.
DEVICES = [
    {"name": "pstat", "info": {"interface": "potentiostat"}, "state": {"run": "r"}, "latest": {"current_a": 5e-12}},
    {"name": "stage", "info": {"interface": "stage"}, "state": {}, "latest": None},
    {"name": "tip", "info": {"interface": "manipulator"}, "state": {}, "latest": None},
    {
        "name": "relays",
        "info": {
            "interface": "feedthrough",
            "capabilities": {"routes": ["open", "feedthrough", "stage-ground", "manipulator-ground"]},
        },
        "state": {},
        "latest": None,
    },
    {"name": "gauge", "info": {"interface": "gauge"}, "state": {}, "latest": None},
]

#: The view's own drawing of an outlook, put into the page and read back.
DRAW = """
async ([devices, outlook, doubt]) => {
    const { answersOf, chamberOf } = await import("/static/js/views/chamber/state.js");
    const { drawAnswer } = await import("/static/js/views/chamber/answers.js");
    const { drawChamber } = await import("/static/js/views/chamber/drawing.js");
    const drawing = drawChamber(chamberOf(devices, outlook, doubt));
    document.body.replaceChildren(drawing, ...answersOf(devices, outlook, doubt).map(drawAnswer));
    const text = (element) => element.textContent;
    const answers = [...document.querySelectorAll(".answer")].map((answer) => [answer.dataset.question, {
        verdict: answer.dataset.verdict,
        text: text(answer),
        reasons: [...answer.querySelectorAll("[data-rule]")].map((reason) => ({
            rule: reason.dataset.rule,
            device: reason.dataset.device,
            said: text(reason.querySelector(".rule")),
            told: [...reason.querySelectorAll("dd")].map(text),
        })),
    }]);
    const one = (name) => drawing.querySelector(`[data-${name}]`)?.dataset[name];
    return {
        answers: Object.fromEntries(answers),
        routes: Object.fromEntries(
            [...drawing.querySelectorAll("[data-route]")].map(({dataset}) => [dataset.route, dataset.state]),
        ),
        tip: one("tip"), tilt: one("tilt"), source: one("source"), vacuum: one("vacuum"), alarm: one("alarm"),
        said: drawing.getAttribute("aria-label"),
    };
}
"""

QUESTIONS = {("stage", "tilt"): "tilt", ("tip", "move"): "move", ("pstat", "energise"): "energise"}


def told(rig: Rig) -> dict[str, Any]:
    """As the daemon answers."""
    outlook = Outlook(rig.interlocks, thought_of(rig.devices), rig.now)
    acts = [{**act, "fault": None, "held_by": None} for act in outlook.acts()]
    return {"acts": acts, "inputs": outlook.inputs(), "windows": outlook.windows()}


#: What breaks each rule that is about one of the three questions; the others are about where a move leads, or about
#: what nobody asks here.
BROKEN: dict[str, dict[str, Any]] = {
    "identity": {"stage.identity_ok": False},
    "tip-clear": {"tip.contact": True},
    "touch-alarm": {"stage.touch_alarm": "tripped"},
    "lead-off-stage": {"relays.route": "stage-ground"},
    "relays-open": {"relays.route": "feedthrough"},
    "cell-off": {"pstat.cell": "on"},
    "at-rest": {"relays.moving": True},
    "vacuum": {"gauge.pressure_pa": 1.0},
    "limits": {"stage.position": {}},
    "sole-mover": {"tip.moving": True},
}


async def draw(page: Page, outlook: Any, doubt: str = "", devices: Any = None) -> dict[str, Any]:
    return dict(await page.evaluate(DRAW, [devices or DEVICES, outlook, doubt]))


async def test_every_refusal_shows_its_rule_its_reason_and_its_need(browser: Browser) -> None:
    assert set(BROKEN) | {"zero-current", "position-known"} == set(DEFAULT_RULES)
    async with bare(browser) as page:
        for rule, changes in BROKEN.items():
            rig = Rig()
            for name, value in changes.items():
                rig.see(name, value)
            outlook = told(rig)
            shown = await draw(page, outlook)
            broken = set()
            for act in outlook["acts"]:
                question = QUESTIONS.get((act["device"], act["act"]))
                if question is None:
                    continue
                answer = shown["answers"][question]
                assert answer["verdict"] == ("yes" if act["allowed"] else "no")
                wanted = [
                    {
                        "rule": one["rule"],
                        "device": act["device"],
                        "said": f"{one['rule']}: {one['text']}",
                        "told": [one["why"], one["needs"]],
                    }
                    for one in act["rules"]
                ]
                assert answer["reasons"] == wanted
                broken |= {one["rule"] for one in act["rules"]}
            assert rule in broken


async def test_the_drawing_shows_where_everything_is(browser: Browser) -> None:
    async with bare(browser) as page:
        rig = Rig()
        shown = await draw(page, told(rig))
        assert shown["routes"] == dict.fromkeys(("feedthrough", "stage-ground", "manipulator-ground"), "open")
        assert (shown["tip"], shown["tilt"], shown["source"]) == ("clear", "0", "off")
        assert (shown["vacuum"], shown["alarm"]) == ("good", "armed")
        rig.see("relays.route", "stage-ground")
        rig.see("tip.contact", True)
        rig.see("pstat.cell", "on")
        rig.see("stage.position", {"x_m": 0.05, "y_m": 0.05, "z_m": 0.02, "tilt_deg": 52.0, "rotation_deg": 0.0})
        rig.see("gauge.pressure_pa", 2.5)
        rig.see("stage.touch_alarm", "disabled")
        shown = await draw(page, told(rig))
        assert shown["routes"] == {"feedthrough": "open", "stage-ground": "closed", "manipulator-ground": "open"}
        assert (shown["tip"], shown["tilt"], shown["source"]) == ("contact", "52", "on")
        assert (shown["vacuum"], shown["alarm"]) == ("bad", "disabled")
        for words in ("in contact", "stage-ground closed", "52°", "2.5 Pa", "on, 5 pA"):
            assert words in shown["said"], words


async def test_of_several_sources_the_one_that_is_on_is_drawn(browser: Browser) -> None:
    rig = Rig(devices={"emstat": "potentiostat", "pstat": "potentiostat"})
    for name, cell in (("emstat", "off"), ("pstat", "on")):
        rig.see(f"{name}.cell", cell)
    devices = [{**DEVICES[0], "name": name} for name in rig.devices]
    async with bare(browser) as page:
        shown = await draw(page, told(rig), devices=devices)
        assert shown["source"] == "on"
        assert "Source emstat: off, proven." in shown["said"]
        assert "Source pstat: on, 5 pA" in shown["said"]


UNSURE = {"tip": "unknown", "tilt": "unknown", "source": "unknown", "vacuum": "unknown", "alarm": "unknown"}


async def test_what_is_not_known_is_drawn_as_not_known(browser: Browser) -> None:
    """Old readings, a page that lost its daemon, and one that has not heard of it yet: the same rig that was good."""
    good, old = Rig(), Rig()
    old.now += 60
    async with bare(browser) as page:
        for outlook, doubt, verdict in (
            (told(old), "", "no"),
            (told(good), "The connection is lost.", "unknown"),
            (None, "", "unknown"),
        ):
            shown = await draw(page, outlook, doubt)
            assert {key: shown[key] for key in UNSURE} == UNSURE
            assert set(shown["routes"].values()) == {"unknown"}
            assert {answer["verdict"] for answer in shown["answers"].values()} == {verdict}
            assert doubt in shown["said"]


async def test_a_fault_and_a_holder_are_told(browser: Browser) -> None:
    outlook = told(Rig())
    fault = {"message": "forbidden by emergency stop, pressed by ana", "hint": "Look; then acknowledge."}
    for act in outlook["acts"]:
        if act["act"] == "tilt":
            act |= {"allowed": False, "fault": fault}
        if act["act"] == "energise":
            act["held_by"] = "run 20261124-1"
    async with bare(browser) as page:
        answers = (await draw(page, outlook))["answers"]
        assert answers["tilt"]["verdict"] == "no"
        assert answers["tilt"]["reasons"][0]["told"] == [fault["message"], fault["hint"]]
        assert answers["energise"]["verdict"] == "yes"
        assert "Only run 20261124-1 may do it now" in answers["energise"]["text"]


async def test_names_from_a_payload_stay_text(browser: Browser) -> None:
    evil = "<img src=x onerror=\"document.title='evil'\">"
    devices = [{**DEVICES[3], "info": {"interface": "feedthrough", "capabilities": {"routes": ["open", evil]}}}]
    outlook = told(Rig())
    outlook["acts"][0]["rules"] = [{"rule": evil, "text": evil, "why": evil, "needs": evil}]
    async with bare(browser) as page:
        shown = await draw(page, outlook, devices=[*devices, *DEVICES[:3]])
        assert shown["routes"] == {evil: "open"}
        assert await page.locator("img").count() == 0
        assert "evil" not in await page.title()


async def test_what_a_person_has_seen_counts(site: SiteMaker, visit: Visitor) -> None:
    """Where the device does not tell: said once more before it counts, and not after a no."""
    async with site() as s, visit(s) as v:
        stage = s.rig.device("stage")

        async def not_told() -> TouchAlarm:
            return TouchAlarm.UNKNOWN

        stage.touch_alarm = not_told
        await v.open("chamber")
        said = v.page.locator('[data-input="stage.touch_alarm"]')
        await expect(said).to_have_text("I have seen that the touch alarm of stage is armed")
        await said.click()
        await v.page.get_by_role("button", name="Cancel").click()
        assert (await s.rig.request("rules"))["statements"] == []
        await said.click()
        await v.page.get_by_role("button", name="I have seen it").click()
        await expect(v.page.locator('[data-question="tilt"]')).to_have_attribute("data-verdict", "yes")
        await expect(v.page.locator("[data-alarm]")).to_have_attribute("data-alarm", "armed")
        (statement,) = (await s.rig.request("rules"))["statements"]
        assert (statement["input"], statement["value"]) == ("stage.touch_alarm", "armed")
        await v.shows('[data-fact="Touch alarm"]', f"armed, says {statement['by']}")


async def test_it_follows_the_rig(site: SiteMaker, visit: Visitor) -> None:
    """The whole path: devices, daemon, broker, page."""
    async with site() as s, visit(s) as v:
        await v.open("chamber")
        await expect(v.page.locator('[data-question="tilt"]')).to_have_attribute("data-verdict", "yes")
        await expect(v.page.locator('[data-question="move"]')).to_have_attribute("data-verdict", "none")
        await expect(v.page.locator('[data-question="energise"]')).to_have_attribute("data-verdict", "yes")
        s.rig.device("relay").closed = "cell"
        s.rig.device("gauge").reading = Pressure(3.0, True, GaugeStatus.OK)
        await expect(v.page.locator('[data-route="cell"]')).to_have_attribute("data-state", "closed")
        await expect(v.page.locator('[data-question="tilt"] [data-rule="relays-open"]')).to_contain_text("Needed")
        await expect(v.page.locator('[data-question="energise"] [data-rule="vacuum"]')).to_contain_text("1 mPa")
        await expect(v.page.locator("[data-fact=Pressure]")).to_contain_text("3 Pa")
        s.rig.device("relay").wire.unplug()
        await expect(v.page.locator('[data-route="cell"]')).to_have_attribute("data-state", "unknown")
