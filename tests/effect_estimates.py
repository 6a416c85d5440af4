"""Phase 7's table of effects, from results in memory."""

from emotion_circuits.pipelines.statistics.nodes import estimate_effects
from emotion_circuits.pipelines.statistics.settings import StatisticsSettings
from study_emotions import FOUR

QUICK = {"n_bootstrap": 200, "n_permutations": 200}


def own_metric(table):
    return table[table["metric_name"] == "goemotions." + table["emotion"].fillna("")]


def estimate(settings=None, table=None, fresh=None, **results):
    settings = settings or StatisticsSettings(**QUICK)
    return estimate_effects("p", FOUR, settings, table, fresh, **results)
