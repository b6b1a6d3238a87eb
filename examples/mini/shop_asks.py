"""Simple questions about the shop: English, SQL, and the sentence that answers them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from examples.mini import shop_db as shop
from examples.mini.shop_nouns import Noun, Table, draw_noun

Cell = str | int | float | None
Rows = Sequence[Sequence[Cell]]

GROUPS: dict[str, tuple[str, ...]] = {
    "month": (),
    "status": (),
    "city": ("customers",),
    "tier": ("customers",),
    "customer": ("customers",),
    "category": ("products",),
    "product": ("products",),
}
"""What orders are counted by, and the tables that needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One simple question."""

    question: str
    sql: str
    lead: str
    """Start of the answer sentence, up to the values; without a capital."""
    key: str
    """The same for every wording of the question."""

    def answer(self, rows: Rows) -> str:
        """Write the answer sentence for a result, without a capital or a full stop."""
        if not rows or rows[0][0] is None:
            return f"{self.lead} nothing"
        return f"{self.lead} {join_words([' '.join(map(show, row)) for row in rows])}"


def show(cell: Cell) -> str:
    """Write one value as the answer sentence shows it."""
    return str(cell)


def join_words(parts: Sequence[str]) -> str:
    """Join parts as English does: `a, b and c`."""
    if len(parts) == 1:
        return parts[0]
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def _ask(rng: Random, wordings: Sequence[str], select: str, tail: str, lead: str) -> Ask:
    """Pick one wording; the SQL with its conditions sorted is the key."""
    sql = f"{select} {tail}"
    head, _, conditions = sql.partition(" WHERE ")
    key = f"{head}|{'|'.join(sorted(conditions.split(' AND ')))}"
    return Ask(question=rng.choice(wordings), sql=sql, lead=lead, key=key)


TABLES: tuple[Table, ...] = ("customers", "products", "orders")


def _any_noun(rng: Random) -> Noun:
    return draw_noun(rng, rng.choices(TABLES, (2, 2, 3))[0])


def count(rng: Random) -> Ask:
    """How many there are."""
    noun = _any_noun(rng)
    text = noun.text()
    wordings = (
        f"How many {text} are there?",
        f"Count the {text}.",
        f"What is the number of {text}?",
    )
    return _ask(rng, wordings, "SELECT COUNT(*)", noun.source(), f"the number of {text} is")


def names(rng: Random) -> Ask:
    """Which ones there are."""
    noun = draw_noun(rng, rng.choice(("customers", "products")))
    text = noun.text()
    wordings = (f"Which {text} are there?", f"List the {text}.", f"Name all {text}.")
    select = f"SELECT {noun.table[:-1]}"
    return _ask(rng, wordings, select, noun.source(), f"the {text} are")


def aggregate(rng: Random) -> Ask:
    """The average, highest, lowest or total of a column."""
    column = rng.choice(("price", "stock", "quantity"))
    noun = draw_noun(rng, "orders" if column == "quantity" else "products")
    word, sql = rng.choice(
        (
            ("average", f"ROUND(AVG({column}), 1)"),
            ("highest", f"MAX({column})"),
            ("lowest", f"MIN({column})"),
            ("total", f"SUM({column})"),
        )
    )
    phrase = f"the {word} {column} of {noun.text()}"
    wordings = (f"What is {phrase}?", f"Give {phrase}.", f"Find {phrase}.")
    return _ask(rng, wordings, f"SELECT {sql}", noun.source(), f"{phrase} is")


def superlative(rng: Random) -> Ask:
    """The first one or few by a column."""
    word, column, order = rng.choice(
        (
            ("most expensive", "price", "DESC"),
            ("cheapest", "price", "ASC"),
            ("best stocked", "stock", "DESC"),
            ("scarcest", "stock", "ASC"),
            ("newest", "joined", "DESC"),
            ("oldest", "joined", "ASC"),
        )
    )
    noun = draw_noun(rng, "customers" if column == "joined" else "products", 2)
    limit = rng.choice((1, 1, 2, 3, 4, 5))
    text = noun.text(is_plural=limit > 1)
    phrase = f"the {word} {text}" if limit == 1 else f"the {limit} {word} {text}"
    verb = "is" if limit == 1 else "are"
    wordings = (f"What {verb} {phrase}?", f"Which {verb} {phrase}?", f"Name {phrase}.")
    tail = f"{noun.source()} ORDER BY {column} {order} LIMIT {limit}"
    return _ask(rng, wordings, f"SELECT {noun.table[:-1]}", tail, f"{phrase} {verb}")


COUNTED: tuple[tuple[Table, str], ...] = (
    ("customers", "city"),
    ("customers", "tier"),
    ("products", "category"),
    *(("orders", group) for group in GROUPS),
)
"""What is counted, and for every value of which column."""


def per_group(rng: Random) -> Ask:
    """A count or a total for every value of a column."""
    table, group = rng.choice(COUNTED)
    noun = draw_noun(rng, table, 2)
    joins = GROUPS[group] if table == "orders" else ()
    if table == "customers" or rng.random() < 0.5:
        phrase, value = f"the number of {noun.text()}", "COUNT(*)"
    else:
        column = "quantity" if table == "orders" else rng.choice(("price", "stock"))
        phrase, value = f"the total {column} of {noun.text()}", f"SUM({column})"
    wordings = (f"What is {phrase} per {group}?", f"Give {phrase} for each {group}.")
    tail = f"{noun.source(*joins)} GROUP BY {group}"
    return _ask(rng, wordings, f"SELECT {group}, {value}", tail, f"{phrase} per {group} is")


def most(rng: Random) -> Ask:
    """The group with the most or fewest orders."""
    noun = draw_noun(rng, "orders", 2)
    group = rng.choice(tuple(GROUPS))
    word, order = rng.choice((("most", "DESC"), ("fewest", "ASC")))
    text = noun.text()
    wordings = (
        f"Which {group} has the {word} {text}?",
        f"Name the {group} with the {word} {text}.",
    )
    tail = f"{noun.source(*GROUPS[group])} GROUP BY {group} ORDER BY COUNT(*) {order} LIMIT 1"
    return _ask(rng, wordings, f"SELECT {group}", tail, f"the {group} with the {word} {text} is")


def having(rng: Random) -> Ask:
    """The groups with more or fewer orders than a number."""
    noun = draw_noun(rng, "orders", 2)
    group, plural = rng.choice(
        (("customer", "customers"), ("product", "products"), ("city", "cities"))
    )
    word, sign = rng.choice((("more", ">"), ("fewer", "<")))
    number = rng.randint(2, 30)
    phrase = f"{plural} with {word} than {number} {noun.text()}"
    wordings = (f"Which are the {phrase}?", f"List the {phrase}.")
    tail = f"{noun.source(*GROUPS[group])} GROUP BY {group} HAVING COUNT(*) {sign} {number}"
    return _ask(rng, wordings, f"SELECT {group}", tail, f"the {phrase} are")


def revenue(rng: Random) -> Ask:
    """Quantity times price, in all or for the best group."""
    noun = draw_noun(rng, "orders")
    text = noun.text()
    if rng.random() < 0.6:
        wordings = (f"What is the revenue from {text}?", f"How much revenue came from {text}?")
        tail = noun.source("products")
        return _ask(
            rng, wordings, "SELECT SUM(quantity * price)", tail, f"the revenue from {text} is"
        )
    group = rng.choice(tuple(GROUPS))
    wordings = (
        f"Which {group} brought the most revenue from {text}?",
        f"Name the {group} with the most revenue from {text}.",
    )
    tail = (
        f"{noun.source('products', *GROUPS[group])} GROUP BY {group} "
        "ORDER BY SUM(quantity * price) DESC LIMIT 1"
    )
    lead = f"the {group} with the most revenue from {text} is"
    return _ask(rng, wordings, f"SELECT {group}", tail, lead)


def attribute(rng: Random) -> Ask:
    """One column of one named row."""
    if rng.random() < 0.5:
        name = rng.choice(shop.PRODUCTS[rng.choice(shop.CATEGORIES)])
        column = rng.choice(("price", "stock", "category"))
        tail, text = f"FROM products WHERE product = '{name}'", f"the {column} of the {name}"
    else:
        name = rng.choice(shop.CUSTOMERS)
        column = rng.choice(("city", "tier"))
        tail, text = f"FROM customers WHERE customer = '{name}'", f"the {column} of {name}"
    wordings = (f"What is {text}?", f"Give {text}.")
    return _ask(rng, wordings, f"SELECT {column}", tail, f"{text} is")


def distinct(rng: Random) -> Ask:
    """How many different customers or products have such orders."""
    noun = draw_noun(rng, "orders")
    table = rng.choice(("customer", "product"))
    wordings = (
        f"How many different {table}s have {noun.text()}?",
        f"Count the different {table}s with {noun.text()}.",
    )
    lead = f"the number of different {table}s with {noun.text()} is"
    return _ask(rng, wordings, f"SELECT COUNT(DISTINCT {table}_id)", noun.source(), lead)


def without(rng: Random) -> Ask:
    """Which customers or products have no such orders."""
    orders = draw_noun(rng, "orders", 2)
    table = rng.choice(("customer", "product"))
    phrase = f"{table}s without {orders.text()}"
    wordings = (f"Which are the {phrase}?", f"List the {phrase}.", f"Name all {phrase}.")
    tail = f"FROM {table}s WHERE {table}_id NOT IN (SELECT {table}_id {orders.source()})"
    return _ask(rng, wordings, f"SELECT {table}", tail, f"the {phrase} are")


FAMILIES: tuple[tuple[Callable[[Random], Ask], int], ...] = (
    (count, 5),
    (names, 3),
    (aggregate, 4),
    (superlative, 4),
    (per_group, 4),
    (most, 4),
    (having, 2),
    (revenue, 3),
    (attribute, 1),
    (distinct, 2),
    (without, 2),
)
"""Every family with its weight."""


def draw_ask(rng: Random) -> Ask:
    """Draw one simple question."""
    makers, weights = zip(*FAMILIES, strict=True)
    make: Callable[[Random], Ask] = rng.choices(makers, weights)[0]
    return make(rng)
