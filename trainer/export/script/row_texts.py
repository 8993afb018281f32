"""Functions of numpy that turn columns of a table into features, as text.

Each is what the encoding of that name in `trainer.preprocessing` computes; a script has
those that its table needs.
"""

NUMBERS = '''def numbers(rows: Rows, column: str) -> np.ndarray:
    """Return a column's numbers; one that is unknown is NaN."""
    values = [row[column] for row in rows]
    return np.array([np.nan if v is None else v for v in values], np.float64)'''

MOMENTS = '''def moments(rows: Rows, column: str) -> np.ndarray:
    """Return a column's dates, written as in ISO 8601; one that is unknown is NaT."""
    found = []
    for row in rows:
        if row[column] is None:
            found.append(np.datetime64("NaT", "us"))
            continue
        moment = datetime.fromisoformat(row[column])
        if moment.tzinfo is not None:
            moment = moment.astimezone(timezone.utc).replace(tzinfo=None)
        found.append(np.datetime64(moment, "us"))
    return np.array(found, "datetime64[us]")'''

MICROSECONDS = '''def microseconds(dates: np.ndarray) -> np.ndarray:
    """Return dates as numbers, microseconds since 1970 UTC; NaN for NaT."""
    return np.where(np.isnat(dates), np.nan, dates.astype(np.int64) * 1.0)'''

CODES = '''def codes(rows: Rows, column: str) -> np.ndarray:
    """Return the places of categories: -1 if missing, the last + 1 if unknown."""
    names = CATEGORIES[column]
    places = {name: place for place, name in enumerate(names)}
    values = [row[column] for row in rows]
    found = [-1 if v is None else places.get(str(v), len(names)) for v in values]
    return np.array(found, np.int64)'''

STANDARDISED = '''\
def standardised(values: np.ndarray, mean: float, deviation: float) -> np.ndarray:
    """Return (rows, 1) at mean 0 and deviation 1; what is missing becomes the mean."""
    if deviation == 0:
        return np.zeros((len(values), 1))
    scaled = (values - mean) / deviation
    return np.where(np.isnan(scaled), 0, scaled)[:, None]'''

IMPUTED = '''def imputed(values: np.ndarray, fill: float) -> np.ndarray:
    """Return (rows, 1) with a value for what is missing."""
    return np.where(np.isnan(values), fill, values)[:, None]'''

SCALED = '''def scaled(
    values: np.ndarray,
    shift: float,
    factor: float,
    fill: float,
    logarithm: bool = False,
    indicator: bool = False,
) -> np.ndarray:
    """Return (values - shift) * factor, and perhaps which of them are missing."""
    if logarithm:
        values = np.sign(values) * np.log1p(np.abs(values))
    missing = np.isnan(values)
    moved = (np.where(missing, fill, values) - shift) * factor
    return np.stack([moved, missing] if indicator else [moved], axis=1)'''

ONE_HOT = '''def one_hot(places: np.ndarray, count: int, fill: int) -> np.ndarray:
    """Return (rows, width), 1 at a category's place; all 0 for an unknown one.

    A missing one has the place `fill`: the commonest, or one behind the others.
    """
    width = max(count, fill + 1)
    kept = np.where(places == count, width, places)
    kept = np.where(places == -1, fill, kept)
    return (kept[:, None] == np.arange(width)).astype(np.float64)'''

FLAG = '''def flag(values: np.ndarray, fill: int) -> np.ndarray:
    """Return (rows, 1) of zeros and ones; a missing one becomes the commoner."""
    return np.where(np.isnan(values), fill, values)[:, None]'''

CATEGORY_NUMBER = '''def category_number(
    places: np.ndarray, count: int, unseen: tuple[int, ...]
) -> np.ndarray:
    """Return (rows, 1): 0 for an unknown category, 1 for a missing one, then the rest.

    Those that no training row had are unknown, too.
    """
    names = np.arange(2, count + 2)
    names[list(unseen)] = 0
    return np.concatenate([names, [0, 1]])[np.clip(places, -1, count)][:, None]'''

DATE_FEATURES = '''def date_features(
    dates: np.ndarray,
    parts: tuple[str, ...],
    mean: float,
    deviation: float,
    indicator: bool = False,
) -> np.ndarray:
    """Return the time at mean 0 and deviation 1, and places in cycles on a circle."""
    missing = np.isnat(dates)
    known = np.where(missing, np.datetime64(0, "us"), dates)
    day, year = known.astype("datetime64[D]"), known.astype("datetime64[Y]")
    found = []
    for part in parts:
        if part == "time":
            away = (known.astype(np.int64) - mean) / (deviation or 1)
            found.append(np.where(missing | (deviation == 0), 0, away))
            continue
        turns = {
            "month": known.astype("datetime64[M]").astype(np.int64) % 12 / 12,
            "weekday": (day.astype(np.int64) + 3) % 7 / 7,
            "day_of_year": (day - year).astype(np.int64) / 365.25,
            "hour": (known - day).astype(np.int64) / 86_400_000_000,
        }
        angle = 2 * np.pi * turns[part]
        found += [np.where(missing, 0, f(angle)) for f in (np.sin, np.cos)]
    return np.stack([*found, missing] if indicator else found, axis=1)'''

ROW_TEXTS: dict[str, str] = {
    "numbers": NUMBERS,
    "moments": MOMENTS,
    "microseconds": MICROSECONDS,
    "codes": CODES,
    "standardised": STANDARDISED,
    "imputed": IMPUTED,
    "scaled": SCALED,
    "one_hot": ONE_HOT,
    "flag": FLAG,
    "category_number": CATEGORY_NUMBER,
    "date_features": DATE_FEATURES,
}
