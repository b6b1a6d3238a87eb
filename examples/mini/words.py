"""Words the generators share, and invented names that can only be copied."""

from random import Random

FIRST_NAMES = (
    "Alma Boris Clara Dmitri Elena Felix Greta Henry Ingrid Jakob Karin Lars Marta Noah Oscar "
    "Petra Quinn Ruth Stefan Tessa Ursula Victor Wanda Xavier Yara Zoe Amir Bella Chen Dora"
).split()
CITIES = (
    "Oslo Rome Lima Cairo Delhi Paris London Tokyo Madrid Berlin Vienna Athens Dublin Prague "
    "Lisbon Warsaw Boston Denver Nairobi Seoul"
).split()
COUNTRIES = {
    "France": "Paris",
    "Italy": "Rome",
    "Spain": "Madrid",
    "Japan": "Tokyo",
    "Egypt": "Cairo",
    "Peru": "Lima",
    "Norway": "Oslo",
    "Greece": "Athens",
    "Austria": "Vienna",
    "Poland": "Warsaw",
    "Kenya": "Nairobi",
    "Ireland": "Dublin",
    "Portugal": "Lisbon",
    "Germany": "Berlin",
    "India": "Delhi",
    "Chile": "Santiago",
    "Cuba": "Havana",
    "Canada": "Ottawa",
    "Sweden": "Stockholm",
    "Finland": "Helsinki",
}
ITEMS = (
    "kettle pan mug knife rake hose spade bench desk lamp chair stapler robot puzzle kite drone "
    "guitar drum flute radio table pencil bottle basket mirror carpet pillow hammer ladder candle"
).split()
PLURALS = [f"{thing}s" for thing in ITEMS if thing not in ("bench", "knife")]
"""Of the items whose plural is regular."""
MONTHS = (
    "January February March April May June July August September October November December"
).split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
JOBS = "nurse teacher pilot baker farmer lawyer painter plumber chemist judge tailor driver".split()
PLACES = "library|town hall|main hall|garden|museum|school|park|north room|theatre|office|station"
EVENT_KINDS = "concert meeting workshop lecture dinner review race party auction tour".split()
EVENT_TOPICS = "jazz budget chess history robot garden music book safety art".split()
WEATHER = "sunny rainy cloudy windy snowy foggy warm cold".split()
NUMBER_WORDS = "zero one two three four five six seven eight nine ten eleven twelve".split()

_ONSETS = "b br c d dr f g gl h j k l m n p pr r s st t tr v w z".split()
_VOWELS = "a e i o u ai ea".split()
_CODAS = "n r l s t m k nd".split() + [""] * 4


def invent(rng: Random) -> str:
    """Invent a lower-case word of two or three syllables."""
    syllables = rng.choice((2, 2, 3))
    parts = (rng.choice(_ONSETS) + rng.choice(_VOWELS) for _ in range(syllables))
    return "".join(parts) + rng.choice(_CODAS)


def person(rng: Random) -> str:
    """Draw a name, invented as often as not."""
    return invent(rng).capitalize() if rng.random() < 0.5 else rng.choice(FIRST_NAMES)


def city(rng: Random) -> str:
    """Draw a city, sometimes invented."""
    return invent(rng).capitalize() if rng.random() < 0.3 else rng.choice(CITIES)


def item(rng: Random) -> str:
    """Draw a thing with a regular plural, sometimes invented."""
    return invent(rng) + "o" if rng.random() < 0.3 else rng.choice(ITEMS)


def place(rng: Random) -> str:
    """Draw a place for an event."""
    return rng.choice(PLACES.split("|"))


def weather(rng: Random) -> str:
    """Draw a weather, sometimes of two words."""
    if rng.random() < 0.3:
        return " and ".join(rng.sample(WEATHER, 2))
    return rng.choice(WEATHER)
