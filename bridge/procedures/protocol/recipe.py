"""The steps as data, numbered as we do: the paper's own cross-references are off (domain note 1.5).

Values are those of domain note 1.1 and 1.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from bridge.analysis.geometry import effective_area_m2
from drivers.interfaces import Options, option

from .beam import BeamSettings, beam_fields

UM = 1e-6
NM = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample(Options):
    """What the cell is made of, and its time in air so far."""

    cathode_m: float = option(2 * UM, unit="m", help="thickness of the LiCoO2", above=0, at_most=1e-3)
    electrolyte_m: float = option(1 * UM, unit="m", help="thickness of the LiPON", above=0, at_most=1e-3)
    anode_m: float = option(80 * NM, unit="m", help="thickness of the silicon", above=0, at_most=1e-3)
    air_s: float = option(0.0, unit="s", help="time in air so far", at_least=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut(Options):
    """A cross-section as it was measured after cutting."""

    length_m: float = option(unit="m", help="length of the active cross-section", above=0, at_most=1e-3)
    width_m: float = option(unit="m", help="width of the active cross-section", above=0, at_most=1e-3)
    damage_depth_m: float = option(
        0.0, unit="m", help="dead layer on each side; up to 25 nm at 30 kV", at_least=0, at_most=25 * NM
    )

    def __post_init__(self) -> None:
        effective_area_m2(self.length_m, self.width_m, self.damage_depth_m)


@dataclass(frozen=True, slots=True, kw_only=True)
class Air(Options):
    """Time in air after the test."""

    air_s: float = option(0.0, unit="s", help="time in air after venting", at_least=0)


Who = Literal["picobridge", "operator"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One line of the checklist.

    `action` names what picobridge does (`actions.Actions`); where the device for it is missing, the operator is asked
    `text` instead. `beam` steps add to the ledger; `deposits` says that platinum is laid down. `cuts`: the
    cross-section is typed in afterwards. `repeats_from`: where to go back to when this step finds a short. `touches`,
    `frees`: the tip holds the sample from here on, or no more. `in_vacuum`: looked at again before anything is driven.
    """

    number: int
    title: str
    who: Who
    text: str
    action: str = ""
    fields: type[Options] | None = None
    deposits: bool = False
    cuts: bool = False
    repeats_from: int = 0
    touches: bool = False
    frees: bool = False
    in_vacuum: bool = False
    source: str = ""

    @property
    def is_beam(self) -> bool:
        return self.fields is not None and issubclass(self.fields, BeamSettings)

    @property
    def is_stage(self) -> bool:
        return self.action.startswith(("tilt", "rotate"))


def _beam(
    name: str,
    current_a: float,
    x_um: float,
    y_um: float,
    z_um: float,
    *,
    dwell_s: float = 100e-9,
    z_range_m: tuple[float, float] | None = None,
) -> type[BeamSettings]:
    return beam_fields(
        name,
        ion_current_a=current_a,
        ion_current_at_most_a=current_a,
        x_m=x_um * UM,
        y_m=y_um * UM,
        z_m=z_um * UM,
        dwell_s=dwell_s,
        z_range_m=z_range_m,
    )


_TRENCH_A = 2.8e-9
_CLEAN_A = 0.3e-9
_WELD_A = 10e-12

STEPS: Mapping[int, Step] = MappingProxyType(
    {
        step.number: step
        for step in (
            Step(
                number=1,
                title="Sample",
                who="operator",
                text="Mount the film on the stub with copper tape from the cathode's collector. Type in the stack.",
                fields=Sample,
                source="1.2",
            ),
            Step(
                number=2,
                title="Wiring",
                who="operator",
                text="Connect + (cathode, gold side) to the stage by the copper grid, - (anode, copper side) to the "
                "manipulator. Touch alarm: it cannot be used while the stage's ground is a lead of the cell.",
                source="1.1",
            ),
            Step(
                number=3,
                title="Plan",
                who="picobridge",
                text="Are current, leads and instrument fit for this cell?",
                action="plan",
                source="0",
            ),
            Step(
                number=4,
                title="Noise test, cathode side",
                who="picobridge",
                text="Vented: + lead as in the experiment, - lead directly on the stage.",
                action="noise_cathode",
                source="1.1, 2.4",
            ),
            Step(
                number=5,
                title="Pump down",
                who="picobridge",
                text="Wait for 1e-5 mbar or less, three readings in a row, before any beam.",
                action="vacuum",
                source="1.2",
            ),
            Step(
                number=6,
                title="Touch the grid",
                who="operator",
                text="Bring the manipulator to the copper grid (weld it if you like) so that the loop is closed.",
                touches=True,
                source="1.1",
            ),
            Step(
                number=7,
                title="Noise test, whole loop",
                who="picobridge",
                text="Under vacuum, current through both circuits.",
                action="noise_loop",
                in_vacuum=True,
                source="1.1, 2.4",
            ),
            Step(
                number=8,
                title="Free the tip",
                who="operator",
                text="Cut the manipulator off the grid and draw it back to park.",
                frees=True,
                source="1.1",
            ),
            Step(
                number=9,
                title="Tilt 52 deg",
                who="picobridge",
                text="Tilt the stage to 52 deg: the ion beam is normal to the film.",
                action="tilt_52",
                source="1.2",
            ),
            Step(
                number=10,
                title="Platinum cap",
                who="operator",
                text="Deposit the cap, 1.5 to 2 um of platinum.",
                fields=_beam("PlatinumCap", 0.3e-9, 25, 2, 1.5, dwell_s=200e-9, z_range_m=(1.5 * UM, 2.0 * UM)),
                deposits=True,
                source="1.2",
            ),
            Step(
                number=11,
                title="Trenches",
                who="operator",
                text="Mill a trench on both sides; depth at least 1 um below the stack, width 1.5 times the depth.",
                fields=_beam("Trenches", _TRENCH_A, 25, 7.5, 5),
                source="1.2",
            ),
            Step(
                number=12,
                title="Cleaning section",
                who="operator",
                text="Clean the lamella's faces.",
                fields=_beam("CleaningSection", _CLEAN_A, 25, 2, 5),
                source="1.2",
            ),
            Step(
                number=13,
                title="Tilt 0 deg",
                who="picobridge",
                text="Tilt the stage back to 0 deg.",
                action="tilt_0",
                source="1.2",
            ),
            Step(
                number=14,
                title="Undercut",
                who="operator",
                text="Undercut in parallel mode: 0.5 x 25 um below, one side over the full height, the other up to "
                "2.5 um below the top.",
                fields=_beam("Undercut", _TRENCH_A, 25, 0.5, 5),
                source="1.2",
            ),
            Step(
                number=15,
                title="Rotate 180 deg",
                who="picobridge",
                text="Rotate the stage by 180 deg.",
                action="rotate",
                source="1.2",
            ),
            Step(
                number=16,
                title="Undercut, other side",
                who="operator",
                text="Repeat the undercut from the other side.",
                fields=_beam("UndercutOther", _TRENCH_A, 25, 0.5, 5),
                source="1.2",
            ),
            Step(
                number=17,
                title="Rotate back",
                who="picobridge",
                text="Rotate the stage by 180 deg back.",
                action="rotate_back",
                source="1.2",
            ),
            Step(
                number=18,
                title="Manipulator to park",
                who="picobridge",
                text="Insert the manipulator to its park position.",
                action="park",
                source="1.2, 5",
            ),
            Step(
                number=19,
                title="Approach the lamella",
                who="operator",
                text="Bring the tip to the lamella slowly, by x, y and z.",
                source="1.2, 5",
            ),
            Step(
                number=20,
                title="Lift-out weld",
                who="operator",
                text="Weld the tip to the lamella, 0.5 um of platinum.",
                fields=_beam("LiftOutWeld", _WELD_A, 2, 1, 0.5),
                touches=True,
                deposits=True,
                source="1.2",
            ),
            Step(
                number=21,
                title="Cut free",
                who="operator",
                text="Cut the last side of the lamella and lift it out.",
                fields=_beam("CutFree", 1e-9, 0.5, 2.5, 5),
                source="1.2",
            ),
            Step(
                number=22,
                title="Mount on the grid",
                who="operator",
                text="Weld the lamella to the grid, 2 um of platinum.",
                fields=_beam("GridMount", 0.28e-9, 10, 5, 2),
                deposits=True,
                source="1.2",
            ),
            Step(
                number=23,
                title="Release the tip",
                who="operator",
                text="Cut the tip off, 2 um deep.",
                fields=_beam("Release", 0.28e-9, 1, 1, 2),
                frees=True,
                source="1.2",
            ),
            Step(
                number=24,
                title="Clean the cell",
                who="operator",
                text="Clean a section 5 um wide: it sets the active length.",
                fields=_beam("CleanCell", _CLEAN_A, 5, 2, 5),
                source="1.2",
            ),
            Step(
                number=25,
                title="Cathode strap",
                who="operator",
                text="Connect the cathode's collector to the grid, 0.5 um of platinum.",
                fields=_beam("CathodeStrap", 0.1e-9, 1, 2, 0.5),
                deposits=True,
                source="1.2, 1.5",
            ),
            Step(
                number=26,
                title="Isolate the anode",
                who="operator",
                text="At tilt 0, 3 um wide and about 2 um deep. This re-deposits most: clean next.",
                fields=_beam("AnodeIsolation", 1e-9, 3, 0.5, 2),
                source="1.2",
            ),
            Step(
                number=27,
                title="Final cleaning",
                who="operator",
                text="Clean all sides. Measure the cross-section afterwards: the current follows from it.",
                fields=_beam("FinalCleaning", 0.1e-9, 5, 2, 5),
                cuts=True,
                source="1.2",
            ),
            Step(
                number=28,
                title="Contact",
                who="picobridge",
                text="Bring the tip to the anode's pad until the potentiostat sees the cell; stop there.",
                action="contact",
                touches=True,
                in_vacuum=True,
                source="5",
            ),
            Step(
                number=29,
                title="Anode weld",
                who="operator",
                text="Weld the tip to the anode, 0.2 um of platinum. The source is off meanwhile. Blank the beams.",
                fields=_beam("AnodeWeld", _WELD_A, 2, 1, 0.2),
                deposits=True,
                source="1.2, 5",
            ),
            Step(
                number=30,
                title="Short test",
                who="picobridge",
                text="At no current, the planned current and twice that. A short means: clean again.",
                action="short_test",
                in_vacuum=True,
                repeats_from=27,
                source="1.1, 4",
            ),
            Step(
                number=31,
                title="Cycling",
                who="picobridge",
                text="Charge and discharge at the planned density on the present area. Beams blanked.",
                action="cycle",
                in_vacuum=True,
                repeats_from=27,
                source="1.1, 3",
            ),
            Step(
                number=32,
                title="End",
                who="operator",
                text="Note the time in air, if the chamber is vented.",
                fields=Air,
                source="1.2",
            ),
        )
    }
)
