"""What a landing pattern has to say, so that a file's name tells which delivery it is and nothing has to be guessed.

A name says the partition, and among the deliveries of one partition which it is. A feed whose deliveries replace each
other needs nothing more than their date; increments stand beside each other, and two that have one name would be one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from interlock.contracts.clauses import PREFIX
from interlock.contracts.model import Contract, Delivery, Grain
from interlock.contracts.problems import Findings

TOKENS = ("{partition}", "{delivered}", "{sequence}")
BRACED = re.compile(r"\{[^{}]*\}")


def judge_landing(contract: Contract, delivery: Delivery, findings: Findings) -> None:
    """Add what is wrong with the pattern, and with how far back late deliveries are looked for."""
    where = f"customProperties[{PREFIX}delivery]"
    for told, fix in _wrong(contract, delivery):
        findings.add(f"{where}.landing", told, fix)
    is_daily = contract.partition.grain is Grain.DAY
    if "late" in delivery.model_fields_set and not is_daily:
        told = "every run takes up what lies there for a feed without days, so nothing of it is late"
        findings.add(f"{where}.late", told, "Remove it.")
    if delivery.late.seconds or delivery.late.microseconds:
        findings.add(f"{where}.late", "what is late is looked for by whole days", "Write it like P7D; P0D never looks.")


def _wrong(contract: Contract, delivery: Delivery) -> Iterator[tuple[str, str]]:
    landing = delivery.landing
    used = BRACED.findall(landing)
    is_daily, is_increment = contract.partition.grain is Grain.DAY, delivery.mode == "increment"
    like = f"Write it like {_example(contract.dataset, is_daily, is_increment)}."
    for token in sorted(set(used) - set(TOKENS)):
        yield f"{landing!r} says {token}, which nobody knows", f"Known are {', '.join(TOKENS)}."
    for token in (token for token in TOKENS if used.count(token) > 1):
        yield f"{landing!r} says {token} more than once", like
    if "}{" in landing:
        yield f"{landing!r} puts two tokens side by side, so nobody can tell where one ends", like
    if is_daily and "{partition}" not in used:
        yield f"{landing!r} does not say {{partition}} once, which a feed with the grain day needs", like
    if not is_daily and "{partition}" in used:
        yield f"{landing!r} says {{partition}}, and a feed with the grain all has no days", like
    if is_increment and not {"{delivered}", "{sequence}"} & set(used):
        yield f"{landing!r} does not tell the increments of one partition apart", like
    if not is_increment and "{sequence}" in used:
        told = f"{landing!r} counts deliveries with {{sequence}}, and each of them replaces the one before"
        yield told, f"{like} Where deliveries are added to each other, it is mode: increment."
    if not is_increment and not is_daily and "{delivered}" not in used:
        yield f"{landing!r} does not say {{delivered}} once, which a feed with the grain all needs", like


def _example(dataset: str, is_daily: bool, is_increment: bool) -> str:
    tokens = ["{partition}"] if is_daily else []
    tokens += ["{delivered}"] if is_increment or not is_daily else []
    tokens += ["{sequence}"] if is_increment and is_daily else []
    return f"{dataset}_{'_'.join(tokens)}.csv"
