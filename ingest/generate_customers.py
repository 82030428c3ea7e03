"""The CRM's customers: a change log of inserts, updates and tombstones, as CSV."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.generate_feed import DAY, Feed, Plan, Rates, late, numbers, picked, shortened, texts, timestamps, where, with_copies
from ingest.generate_pools import (
    COUNTRIES,
    COUNTRY_SPELLINGS,
    CUSTOMER_TYPES,
    TYPE_PLAIN,
    TYPE_SPELLINGS,
    Pools,
)

HEADER = "customer_id,name,email,age,gender,customer_type,city,country,updated_at,op"
FIELDS_OF_A_SHORT_LINE = 8  # up to country: updated_at and op are missing

BAD_AGES = ("-1", "121", "130", "999")
TEXT_AGES = ("forty", "35 years", "unknown")
BAD_TIMESTAMPS = ("2024-13-45 00:00:00", "2024-02-30 10:00:00", "yesterday", "n/a")
GENDERS = ("M", "F")
GENDER_SPELLINGS = (("Male", " M ", "male", ""), ("Female", " F ", "female", ""))
PREMIUM, REGULAR, UNKNOWN = range(3)

FAULTS = (
    *("null_key", "bad_email", "blank_email", "age_out_of_range", "text_age", "unparsable_updated_at", "short_line"),
    *("long_line", "padded_name", "padded_email", "gender_spelling", "type_spelling", "unknown_type"),
    *("country_spelling", "blank_country"),
)

# Customers whose history is written out, faults aside; no random change touches them.
# (customer, day of the change, op, which of two cities, type, e-mail number, arrives in wave 2)
# fmt: off
STORIES = (
    # A, A again, and later it turns out to have been B in between: three versions, not two.
    (1, -30, "I", 0, REGULAR, 0, False), (1, -10, "U", 0, REGULAR, 0, False), (1, -20, "U", 1, REGULAR, 0, True),
    # Deleted, then back with the values of before: a new version after a gap.
    (2, -40, "I", 0, REGULAR, 0, False), (2, -5, "D", 0, REGULAR, 0, False), (2, None, "I", 0, REGULAR, 0, True),
    # A change older than the tombstone arrives after it: its version ends at the tombstone.
    (3, -40, "I", 0, PREMIUM, 0, False), (3, -5, "D", 0, PREMIUM, 0, False), (3, -20, "U", 1, PREMIUM, 0, True),
    # Moves, is upgraded, changes the e-mail address: three versions, one address on all.
    (4, -40, "I", 0, REGULAR, 0, False), (4, -20, "U", 1, REGULAR, 0, False), (4, -8, "U", 1, PREMIUM, 0, False),
    (4, None, "U", 1, PREMIUM, 1, True),
    # Two cities at one instant: the one later in code-point order stands, although it came first.
    (5, -30, "I", 0, REGULAR, 0, False), (5, -15, "U", 1, REGULAR, 0, False), (5, -15, "U", 0, REGULAR, 0, True),
)
# fmt: on
STORY_CUSTOMERS = tuple(sorted({story[0] for story in STORIES}))


def customers(plan: Plan, rates: Rates, pools: Pools, rng: np.random.Generator) -> Feed:
    """A feed of about `customers` × (1 + days × changes) records, at most one per customer and day.

    Quarantined: a blank e-mail is no e-mail, so it fails `email_is_valid`; an age that is no
    number is NULL, so it fails `age_in_range` as well as `age_is_integer`.  Tombstones repeat
    the last values and carry no faults, and the first row of a customer who will be deleted
    carries none either: nobody is known by a tombstone alone.
    """
    records = _change_log(plan, rates, pools, rng)
    is_story = np.isin(records["customer"], STORY_CUSTOMERS)
    will_be_deleted = np.isin(records["customer"], records["customer"][records["is_tombstone"]])
    may_differ = ~is_story & ~(will_be_deleted & records["is_insert"])
    records["day"] = late(rng, records["day"], may_differ, rates.late, plan.days)
    records |= _faults(may_differ & ~records["is_tombstone"], rates, rng)
    passes = ~np.logical_or.reduce(list(_failed(records).values()))
    records = _with_near_duplicates(records, passes & ~is_story & ~records["is_tombstone"], rates.near_duplicate, plan, pools, rng)
    failed = _failed(records)
    passes = ~np.logical_or.reduce(list(failed.values()))
    may_repeat = passes & ~np.isin(records["customer"], STORY_CUSTOMERS)
    arrival_record, arrival_day, is_copy = with_copies(rng, records["day"], may_repeat, rates.duplicate, plan.days)
    return Feed(
        name="customers",
        prefix="crm/customers",
        at=records["at"],
        arrival_record=arrival_record,
        arrival_day=arrival_day,
        is_copy=is_copy,
        failed=failed,
        clean=_clean(records),
        lines=_lines(records, pools, rng),
    )


def _change_log(plan: Plan, rates: Rates, pools: Pools, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Who changed when, and to what: the sources' truth before anything is spelled or spoiled."""
    total = plan.customers + plan.newcomers
    position = np.arange(total)
    is_story = np.isin(position + 1, STORY_CUSTOMERS)
    signup = np.where(rng.random(total) < 0.05, rng.integers(0, plan.days, total), 0)
    signup[plan.customers :] = plan.days
    country = rng.choice(len(COUNTRIES), total, p=(0.45, 0.3, 0.15, 0.1))
    state = {
        "country": country,
        "city": pools.city_of[country, rng.integers(0, pools.city_of.shape[1], total)],
        "type": np.where(rng.random(total) < 0.2, PREMIUM, REGULAR),
        "mail": np.zeros(total, dtype=np.int64),
        "age": rng.integers(18, 91, total),
        "gender": rng.integers(0, 2, total),
        "first": rng.integers(0, len(pools.first_names), total),
        "last": rng.integers(0, len(pools.last_names), total),
    }
    known = np.zeros(total, dtype=bool)
    gone = np.zeros(total, dtype=bool)
    parts = [_stories(plan, pools, state)]

    def record(chosen: np.ndarray, at: np.ndarray, day: int, op: str) -> None:
        who = np.flatnonzero(chosen)
        parts.append(
            {name: values[who] for name, values in state.items()}
            | {"customer": who + 1, "at": at, "day": np.full(len(who), day), "op": np.full(len(who), ord(op))}
        )

    for day in range(plan.days + 1):
        there = known & ~gone & ~is_story
        changed = picked(rng, there, rates.changed_customers)
        deleted = picked(rng, there & ~changed, rates.deleted_customers)
        back = picked(rng, gone, rates.returned_customers)
        joined = (signup == day) & ~is_story
        joined_at = plan.second_of(rng, day, int(joined.sum()))
        if day == 0:  # the past, up to a year before the first order
            joined_at = plan.start_at - rng.integers(plan.past_days * DAY, (plan.past_days + 365) * DAY, len(joined_at))
        _change(state, changed, pools, rng)
        record(joined, joined_at, day, "I")
        record(changed, plan.second_of(rng, day, int(changed.sum())), day, "U")
        record(deleted, plan.second_of(rng, day, int(deleted.sum())), day, "D")
        record(back, plan.second_of(rng, day, int(back.sum())), day, "I")
        known |= joined
        gone = (gone | deleted) & ~back
    records = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    records["is_tombstone"] = records["op"] == ord("D")
    records["is_insert"] = records["op"] == ord("I")
    return records


def _change(state: dict[str, np.ndarray], changed: np.ndarray, pools: Pools, rng: np.random.Generator) -> None:
    """Two fifths move, a fifth each change type, e-mail address, or nothing that is delivered."""
    what = np.where(changed, rng.random(len(changed)), 1.0)
    moves = what < 0.4
    state["city"][moves] = _another_city(state["city"][moves], state["country"][moves], pools, rng)
    upgraded = (what >= 0.4) & (what < 0.6)
    state["type"][upgraded] = np.where(state["type"][upgraded] == PREMIUM, REGULAR, PREMIUM)
    state["mail"][(what >= 0.6) & (what < 0.8)] += 1


def _another_city(city: np.ndarray, country: np.ndarray, pools: Pools, rng: np.random.Generator) -> np.ndarray:
    choices = pools.city_of.shape[1]
    draw = rng.integers(0, choices, len(city))
    chosen = pools.city_of[country, draw]
    return np.where(chosen == city, pools.city_of[country, (draw + 1) % choices], chosen)


def _stories(plan: Plan, pools: Pools, state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    customer, day, op, city, kind, mail, is_second_wave = zip(*STORIES, strict=True)
    who = np.array(customer) - 1
    days = np.array([plan.days if moment is None else moment for moment in day])
    return {name: values[who] for name, values in state.items()} | {
        "customer": np.array(customer),
        "at": plan.start_at + days * DAY + 12 * 3600,
        "day": np.where(is_second_wave, plan.days, 0),
        "op": np.array([ord(letter) for letter in op]),
        "country": np.zeros(len(who), dtype=np.int64),
        "city": pools.city_of[0, np.array(city)],
        "type": np.array(kind),
        "mail": np.array(mail),
    }


def _faults(eligible: np.ndarray, rates: Rates, rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {name: picked(rng, eligible, getattr(rates, name)) for name in FAULTS}


def _failed(records: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        "customer_id_is_given": records["null_key"],
        "updated_at_is_given": records["short_line"],
        "updated_at_is_timestamp": records["unparsable_updated_at"] & ~records["short_line"],
        "email_is_valid": records["bad_email"] | records["blank_email"],
        "age_is_integer": records["text_age"],
        "age_in_range": records["age_out_of_range"] | records["text_age"],
    }


def _with_near_duplicates(
    records: dict[str, np.ndarray],
    eligible: np.ndarray,
    rate: float,
    plan: Plan,
    pools: Pools,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Some records again, same key and instant, with another city: the city later in code-point order stands."""
    near = np.flatnonzero(picked(rng, eligible, rate))
    twins = {name: values[near] for name, values in records.items()}
    twins["city"] = _another_city(twins["city"], twins["country"], pools, rng)
    twins["day"] = np.minimum(twins["day"] + rng.integers(0, 2, len(near)), plan.days)
    return {name: np.concatenate([values, twins[name]]) for name, values in records.items()}


def _clean(records: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the values are once cleaned; -1 where there is none."""
    return {
        "key": records["customer"],
        "at": records["at"],
        "is_tombstone": records["is_tombstone"],
        "city": records["city"],
        "country": np.where(records["blank_country"], -1, records["country"]),
        "customer_type": np.where(records["unknown_type"], UNKNOWN, records["type"]),
        "tie": records["city"],
    }


def _lines(records: dict[str, np.ndarray], pools: Pools, rng: np.random.Generator) -> pa.Array:
    size = len(records["at"])
    draw = rng.integers(0, 12, size)  # which spelling, where a fault has several
    pads = texts(records["padded_name"].astype(np.int64), ["", "  "])
    quotes = texts(records["last"], pools.name_quotes)
    first = texts(records["first"], pools.first_names)
    last = texts(records["last"], pools.last_names)
    country_spellings = [COUNTRY_SPELLINGS[country] for country in COUNTRIES]
    countries = _spelled(records["country"], COUNTRIES, country_spellings, records["country_spelling"], draw)
    fields = [
        where(records["null_key"], "", numbers(records["customer"])),
        pc.binary_join_element_wise(quotes, pads, first, " ", last, pads, quotes, ""),
        _emails(records, pools, draw),
        _ages(records, draw),
        _spelled(records["gender"], GENDERS, GENDER_SPELLINGS, records["gender_spelling"], draw),
        _customer_types(records, draw),
        texts(records["city"], pools.cities),
        where(records["blank_country"], "", countries),
        where(records["unparsable_updated_at"], lambda at: texts(draw[at] % len(BAD_TIMESTAMPS), list(BAD_TIMESTAMPS)), timestamps(records["at"])),
        texts(records["op"] - ord("A"), [chr(letter) for letter in range(ord("A"), ord("Z") + 1)]),
    ]
    whole = pc.binary_join_element_wise(*fields, ",")
    lines = where(records["long_line"], lambda at: pc.binary_join_element_wise(whole.take(pa.array(at)), "surplus", ","), whole)
    return where(records["short_line"], lambda at: pc.binary_join_element_wise(*shortened(fields[:FIELDS_OF_A_SHORT_LINE], at), ","), lines)


def _emails(records: dict[str, np.ndarray], pools: Pools, draw: np.ndarray) -> pa.Array:
    first = texts(records["first"], pc.utf8_lower(pools.first_names))
    local = pc.binary_join_element_wise(first, numbers(records["customer"]), numbers(records["mail"]), ".")
    good = pc.binary_join_element_wise(local, texts(records["customer"] % 2, ["example.com", "example.org"]), "@")

    def padded(at: np.ndarray) -> pa.Array:
        return pc.binary_join_element_wise(" ", pc.utf8_upper(good.take(pa.array(at))), " ", "")

    def bad(at: np.ndarray) -> pa.Array:
        return pc.binary_join_element_wise(local.take(pa.array(at)), texts(draw[at] % 2, [".example.com", "@"]), "")

    return where(records["blank_email"], "", where(records["bad_email"], bad, where(records["padded_email"], padded, good)))


def _customer_types(records: dict[str, np.ndarray], draw: np.ndarray) -> pa.Array:
    """A type in one of its spellings, or a word that is none and cleans to Unknown."""
    plain = [TYPE_PLAIN[kind] for kind in CUSTOMER_TYPES]
    spellings = [TYPE_SPELLINGS[kind] for kind in CUSTOMER_TYPES]
    known = _spelled(records["type"], plain, spellings, records["type_spelling"], draw)

    def unknown(at: np.ndarray) -> pa.Array:
        return _spelled(np.full(len(at), UNKNOWN), plain, spellings, draw[at] % 3 > 0, draw[at] // 3)

    return where(records["unknown_type"], unknown, known)


def _ages(records: dict[str, np.ndarray], draw: np.ndarray) -> pa.Array:
    ages = where(records["age_out_of_range"], lambda at: texts(draw[at] % len(BAD_AGES), list(BAD_AGES)), numbers(records["age"]))
    return where(records["text_age"], lambda at: texts(draw[at] % len(TEXT_AGES), list(TEXT_AGES)), ages)


def _spelled(
    values: np.ndarray, plain: Sequence[str], spellings: Sequence[Sequence[str]], is_spelled: np.ndarray, draw: np.ndarray
) -> pa.Array:
    """The plain word, or one of its other spellings where it has any."""
    words: list[str] = []
    first_of, count_of = [], []
    for word, others in zip(plain, spellings, strict=True):
        first_of.append(len(words))
        count_of.append(1 + len(others))
        words += [word, *others]
    others = np.array(count_of)[values] - 1
    chosen = np.where(is_spelled & (others > 0), 1 + draw % np.maximum(others, 1), 0)
    return texts(np.array(first_of)[values] + chosen, words)
