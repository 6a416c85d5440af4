"""Roles of heads: which detect an emotion, move it to the last position, or express it."""

from emotion_circuits.circuits.roles.depths import (
    RoleAlignment,
    RoleDepths,
    alignment_table,
    role_alignment,
)
from emotion_circuits.circuits.roles.dissociation import (
    Dissociation,
    dissociation,
    dissociation_table,
    roles_of_halves,
)
from emotion_circuits.circuits.roles.measures import Measures, Pairs, Probes, read_measures
from emotion_circuits.circuits.roles.readings import RoleReadings, read_roles
from emotion_circuits.circuits.roles.rules import (
    NONE,
    ROLES,
    HeadShares,
    RoleRules,
    Share,
    agreement_of,
    head_roles,
    head_shares,
    role_of,
    role_stability,
    rules_met,
    share_intervals,
)

__all__ = [
    "NONE",
    "ROLES",
    "Dissociation",
    "HeadShares",
    "Measures",
    "Pairs",
    "Probes",
    "RoleAlignment",
    "RoleDepths",
    "RoleReadings",
    "RoleRules",
    "Share",
    "agreement_of",
    "alignment_table",
    "dissociation",
    "dissociation_table",
    "head_roles",
    "head_shares",
    "read_measures",
    "read_roles",
    "role_alignment",
    "role_of",
    "role_stability",
    "roles_of_halves",
    "rules_met",
    "share_intervals",
]
