"""Explain why a model predicts as it does: from the live route back to the commit, each hop read from AWS.

    route ─▶ task ─▶ image ─▶ version ─▶ job ─▶ data ─▶ commit

The lineage uses neither the store nor the specs: it shows what serves, whoever created it. What one hop says of the
next is compared with what that one says itself. A missing or contradicting hop is reported, and the lineage continues
with what is left. During a rollout two images serve; each has a path of its own.
"""

from controller.lineage.hop import HOPS, Hop
from controller.lineage.rollback_target import find_rollback_target
from controller.lineage.trace import Lineage, trace

__all__ = ["HOPS", "Hop", "Lineage", "find_rollback_target", "trace"]
