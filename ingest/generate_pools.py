"""Words to draw from: names, cities and products, made once per seed.

Faker alone makes about 4,000 rows a second; pools drawn from by position make hundreds of
thousands. So Faker fills small pools here, and everything after works with positions in them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from faker import Faker

# Only the spellings that app/pipelines/retail.yml maps: one it does not know would be another
# country to the pipeline, and would open versions that the truth does not have.
COUNTRIES = ("US", "DE", "FR", "GB")
COUNTRY_SPELLINGS = {"US": ("USA", "United States"), "DE": ("Germany",), "FR": (), "GB": ()}
LOCALES = {"US": "en_US", "DE": "de_DE", "FR": "fr_FR", "GB": "en_GB"}

CUSTOMER_TYPES = ("Premium", "Regular", "Unknown")
TYPE_SPELLINGS = {"Premium": ("VIP", " premium "), "Regular": ("R", "REG"), "Unknown": ("GOLD", "??")}
TYPE_PLAIN = {"Premium": "Premium", "Regular": "Regular", "Unknown": "trial"}

CATEGORIES = ("Garden", "Home", "Kitchen", "Office", "Outdoor", "Toys")
CITIES_PER_COUNTRY = 40


@dataclass(frozen=True)
class Pools:
    """`cities` is in code-point order, so that comparing positions compares the names."""

    first_names: pa.Array
    last_names: pa.Array  # as written inside a CSV field
    name_quotes: pa.Array  # what encloses the field that holds this last name
    cities: pa.Array
    city_of: np.ndarray  # country position × 40 → position in `cities`
    skus: list[str]
    product_names: list[str]
    categories: list[str]
    price_cents: np.ndarray
    suppliers: list[tuple[str, str]]


def pools(seed: int, products: int) -> Pools:
    """The same pools for the same seed, number of products, and release of Faker."""
    rng = np.random.default_rng([seed, 1])
    fakers = {country: _faker(locale, seed) for country, locale in LOCALES.items()}
    cities, city_of = _cities(fakers)
    plain = [fakers["US"].last_name() for _ in range(280)]
    # A comma and a quotation mark inside a name; a CSV file doubles the mark and encloses the field.
    awkward = [f"{name}, Jr." for name in plain[:3]] + [f'{name} ""Ace""' for name in plain[3:5]]
    words = fakers["US"]
    suppliers = [(fakers[country].company(), country) for country in COUNTRIES for _ in range(5)]
    return Pools(
        first_names=pa.array([fakers["US"].first_name() for _ in range(280)]),
        last_names=pa.array(plain + awkward),
        name_quotes=pa.array([""] * len(plain) + ['"'] * len(awkward)),
        cities=pa.array(cities),
        city_of=city_of,
        skus=[f"SKU-{number:05d}" for number in range(1, products + 1)],
        product_names=[f"{words.color_name()} {words.word()}" for _ in range(products)],
        categories=[CATEGORIES[number % len(CATEGORIES)] for number in range(products)],
        price_cents=rng.integers(99, 19_999, products),
        suppliers=[suppliers[number] for number in rng.integers(0, len(suppliers), products)],
    )


def _faker(locale: str, seed: int) -> Faker:
    faker = Faker(locale)
    faker.seed_instance(seed)
    return faker


def _cities(fakers: dict[str, Faker]) -> tuple[list[str], np.ndarray]:
    """Forty cities a country, none twice: a city stands for its country."""
    found: dict[str, str] = {}
    for country, faker in fakers.items():
        wanted = len(found) + CITIES_PER_COUNTRY
        while len(found) < wanted:
            found.setdefault(faker.city(), country)
    ordered = sorted(found)
    city_of = [[position for position, city in enumerate(ordered) if found[city] == country] for country in COUNTRIES]
    return ordered, np.array(city_of)
