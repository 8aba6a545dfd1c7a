"""Go or no-go before anything is energised, with the same checks that refuse a run at its start."""

from .checks import Check, PlannedRun, check_all, require
from .leads import LEADS, Lead, worst
from .plan import PROCEDURE, Plan

__all__ = ["LEADS", "PROCEDURE", "Check", "Lead", "Plan", "PlannedRun", "check_all", "require", "worst"]
