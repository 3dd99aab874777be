"""Why a model answers as it does: from the live route back to the commit, each hop read from AWS as it is now.

    route ─▶ task ─▶ image ─▶ version ─▶ job ─▶ data ─▶ commit

Neither the store nor the specs are asked: what is found is what answers, whoever put it there. What one hop says of the
next is held against what that one says of itself. A hop that is gone or contradicts says so, and the way goes on from
what is left. During a rollout two images answer; each has a way of its own.
"""

from controller.lineage.hop import HOPS, Hop
from controller.lineage.rollback_target import find_rollback_target
from controller.lineage.trace import Lineage, trace

__all__ = ["HOPS", "Hop", "Lineage", "find_rollback_target", "trace"]
