"""Noun phrases of the shop's English, each with the SQL that means the same."""

from dataclasses import dataclass
from random import Random
from typing import Literal

from examples.mini import shop_db as shop

Table = Literal["customers", "products", "orders"]

JOINS = {
    "customers": "JOIN customers USING (customer_id)",
    "products": "JOIN products USING (product_id)",
}
MAX_FILTERS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """One condition: its words and its SQL."""

    text: str
    sql: str
    join: str | None = None
    """Table to join to orders, or None when the condition needs none."""
    is_adjective: bool = False
    """Whether the words stand before the noun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noun:
    """Rows of one table that meet every filter."""

    table: Table
    filters: tuple[Filter, ...] = ()

    def text(self, *, is_plural: bool = True) -> str:
        """Write the phrase, such as `gold customers from Oslo`."""
        noun = self.table if is_plural else self.table[:-1]
        before = [part.text for part in self.filters if part.is_adjective]
        after = [part.text for part in self.filters if not part.is_adjective]
        return " ".join([*before, noun, *after])

    def source(self, *joins: str) -> str:
        """Write FROM and WHERE; `joins` names tables the selected columns need besides."""
        needed = {part.join for part in self.filters} | set(joins)
        words = [f"FROM {self.table}"]
        words += [JOINS[table] for table in JOINS if table in needed]
        conditions = [part.sql for part in self.filters if part.is_adjective]
        conditions += [part.sql for part in self.filters if not part.is_adjective]
        if conditions:
            words.append("WHERE " + " AND ".join(conditions))
        return " ".join(words)


def draw_noun(rng: Random, table: Table, max_filters: int = MAX_FILTERS) -> Noun:
    """Draw a phrase over one table with at most `max_filters` conditions, none twice."""
    makers = list(FILTERS[table])
    count = min(rng.choices(range(MAX_FILTERS + 1), (2, 5, 4, 2))[0], max_filters, len(makers))
    return Noun(table=table, filters=tuple(make(rng) for make in rng.sample(makers, count)))


def _equals(rng: Random, column: str, values: tuple[str, ...]) -> tuple[str, str]:
    """Draw words and SQL for one value, either of two, or all but one."""
    one, other = rng.sample(values, 2)
    form = rng.choices(("is", "or", "not"), (7, 2, 1))[0]
    if form == "or":
        return f"{one} or {other}", f"{column} IN ('{one}', '{other}')"
    if form == "not":
        return f"outside {one}", f"{column} <> '{one}'"
    return one, f"{column} = '{one}'"


def _city(rng: Random) -> Filter:
    text, sql = _equals(rng, "city", shop.CITIES)
    lead = "" if text.startswith("outside") else rng.choice(("from ", "in ", "living in "))
    return Filter(text=lead + text, sql=sql)


def _tier(rng: Random) -> Filter:
    tier = rng.choice(shop.TIERS)
    if rng.random() < 0.2:
        return Filter(text=f"non-{tier}", sql=f"tier <> '{tier}'", is_adjective=True)
    return Filter(text=tier, sql=f"tier = '{tier}'", is_adjective=True)


def _joined(rng: Random) -> Filter:
    word, sign = rng.choice((("after", ">"), ("before", "<"), ("in", "="), ("since", ">=")))
    year = rng.choice(shop.YEARS)
    return Filter(text=f"who joined {word} {year}", sql=f"joined {sign} {year}")


def _category(rng: Random) -> Filter:
    category = rng.choice(shop.CATEGORIES)
    if rng.random() < 0.2:
        return Filter(text=f"non-{category}", sql=f"category <> '{category}'", is_adjective=True)
    return Filter(text=category, sql=f"category = '{category}'", is_adjective=True)


def _price(rng: Random) -> Filter:
    low, high = sorted(rng.sample(range(4, 100), 2))
    if rng.random() < 0.25:
        return Filter(
            text=f"priced between {low} and {high}", sql=f"price BETWEEN {low} AND {high}"
        )
    word, sign = rng.choice(
        (("priced above", ">"), ("priced below", "<"), ("over", ">"), ("under", "<"))
    )
    return Filter(text=f"{word} {low}", sql=f"price {sign} {low}")


def _stock(rng: Random) -> Filter:
    word, sign = rng.choice((("more", ">"), ("fewer", "<")))
    number = rng.randint(2, 59)
    if rng.random() < 0.25:
        return Filter(text=f"with at least {number} in stock", sql=f"stock >= {number}")
    return Filter(text=f"with {word} than {number} in stock", sql=f"stock {sign} {number}")


def _status(rng: Random) -> Filter:
    status = rng.choice(shop.STATUSES)
    if rng.random() < 0.2:
        return Filter(text=f"non-{status}", sql=f"status <> '{status}'", is_adjective=True)
    return Filter(text=status, sql=f"status = '{status}'", is_adjective=True)


def _month(rng: Random) -> Filter:
    text, sql = _equals(rng, "month", shop.MONTHS)
    lead = "" if text.startswith("outside") else rng.choice(("in ", "from "))
    return Filter(text=lead + text, sql=sql)


def _quantity(rng: Random) -> Filter:
    word, sign = rng.choice((("more than", ">"), ("fewer than", "<"), ("exactly", "=")))
    number = rng.randint(2, 8)
    return Filter(text=f"of {word} {number} units", sql=f"quantity {sign} {number}")


def _buyer(rng: Random) -> Filter:
    """Condition an order on who placed it."""
    if rng.random() < 0.4:
        name = rng.choice(shop.CUSTOMERS)
        return Filter(text=f"by {name}", sql=f"customer = '{name}'", join="customers")
    who = rng.choice((_city, _tier))(rng)
    noun = Noun(table="customers", filters=(who,))
    return Filter(text=f"by {noun.text()}", sql=who.sql, join="customers")


def _goods(rng: Random) -> Filter:
    """Condition an order on what was bought."""
    if rng.random() < 0.4:
        name = rng.choice(shop.PRODUCTS[rng.choice(shop.CATEGORIES)])
        return Filter(text=f"for the {name}", sql=f"product = '{name}'", join="products")
    what = rng.choice((_category, _price))(rng)
    noun = Noun(table="products", filters=(what,))
    return Filter(text=f"for {noun.text()}", sql=what.sql, join="products")


FILTERS = {
    "customers": (_city, _tier, _joined),
    "products": (_category, _price, _stock),
    "orders": (_status, _month, _quantity, _buyer, _goods),
}
